'use strict'
// The peer's end of a transcript. usage: node transcript.js ROLE PACKAGE PLUGIN
// Each role says "ready", hears one line with what it is to do, and says "done" when it has done it.

const { makePlugin, say, listen, fail } = require('./peer')
const ildcp = require('ilp-protocol-ildcp')
const packet = require('ilp-packet')
const crypto = require('crypto')

const [role, name, where] = process.argv.slice(2)

function hex (text) {
  return Buffer.from(text, 'hex')
}

// Resolves with so many bytes of a stream.
function bytesOf (stream, count) {
  return new Promise(resolve => {
    const chunks = []
    let size = 0
    stream.on('data', chunk => {
      chunks.push(chunk)
      size += chunk.length
      if (size >= count) resolve(Buffer.concat(chunks).toString('hex'))
    })
  })
}

// Opens a stream, writes, pays, waits for the answer and closes the connection.
async function client (order) {
  const plugin = makePlugin(where)
  await plugin.connect()
  const connection = await require(name).createConnection({
    plugin,
    destinationAccount: order.address,
    sharedSecret: hex(order.secret),
    slippage: 0.01
  })
  const opened = connection.createStream()
  const heard = bytesOf(opened, order.hear)
  opened.write(hex(order.say))
  await opened.sendTotal(order.amount, { timeout: 30000 })
  const answer = await heard
  const receipt = opened.receipt ? opened.receipt.toString('hex') : ''
  await connection.end()
  say('done', { sent: connection.totalSent, delivered: connection.totalDelivered, heard: answer, receipt })
}

// Takes all money, and answers when all bytes are there; the client closes.
async function server (order) {
  const made = await require(name).createServer({ plugin: makePlugin(where) })
  const options = { receiptNonce: hex(order.nonce), receiptSecret: hex(order.receiptSecret) }
  made.on('connection', connection => {
    connection.on('error', () => {})
    connection.on('close', () => say('done', { received: connection.totalReceived }))
    connection.on('stream', stream => {
      stream.setReceiveMax('1000000')
      stream.on('error', () => {})
      bytesOf(stream, order.hear).then(heard => {
        say('heard', { heard })
        stream.write(hex(order.say))
      })
    })
  })
  const { destinationAccount, sharedSecret } = made.generateAddressAndSecret(options)
  say('credentials', { address: destinationAccount, secret: sharedSecret.toString('hex') })
}

// Version 0.2.2 of pay has one function for what takes three later, and counts whole units.
async function payer (order) {
  const plugin = makePlugin(where)
  await plugin.connect()
  const api = require(name)
  const credentials = { destinationAddress: order.address, sharedSecret: hex(order.secret) }
  let outcome
  let scale = 0
  if (api.quote) {
    const quote = await api.quote({
      plugin, ...credentials, amountToSend: order.amount / 1e9, slippage: 0.01, prices: { USD: 1 }
    })
    outcome = await quote.pay()
    scale = 9
  } else {
    const sourceAsset = { code: 'USD', scale: 9 }
    const destination = await api.setupPayment({ plugin, ...credentials })
    const quote = await api.startQuote({
      plugin, destination, sourceAsset, amountToSend: order.amount, slippage: 0.01
    })
    outcome = await api.pay({ plugin, destination, quote })
    await api.closeConnection(plugin, destination)
  }
  const receipt = outcome.streamReceipt ? Buffer.from(outcome.streamReceipt).toString('hex') : ''
  say('done', {
    error: outcome.error || '',
    sent: Math.round(Number(outcome.amountSent) * 10 ** scale),
    delivered: Math.round(Number(outcome.amountDelivered) * 10 ** scale),
    receipt
  })
}

function toBuffer (reply) {
  return reply.fulfillment ? packet.serializeIlpFulfill(reply) : packet.serializeIlpReject(reply)
}

// Takes all money that it can take.
async function receiver (order) {
  const plugin = makePlugin(where)
  await plugin.connect()
  const { clientAddress } = await ildcp.fetch(plugin.sendData.bind(plugin))
  const { StreamServer } = require(name)
  const made = new StreamServer({ serverSecret: crypto.randomBytes(32), serverAddress: clientAddress })
  let total = 0n
  plugin.registerDataHandler(async data => {
    const prepare = packet.deserializeIlpPrepare(data)
    const reply = made.createReply(prepare)
    if (typeof reply.accept !== 'function') return toBuffer(reply)
    total += BigInt(prepare.amount)
    reply.setTotalReceived(String(total))
    return toBuffer(reply.accept())
  })
  const { ilpAddress, sharedSecret } = made.generateCredentials({
    asset: { code: 'USD', scale: 9 },
    receiptSetup: { nonce: hex(order.nonce), secret: hex(order.receiptSecret) }
  })
  say('credentials', { address: ilpAddress, secret: sharedSecret.toString('hex') })
}

function httpPlugin ({ port, token }) {
  const Plugin = require('ilp-plugin-http')
  const incoming = { port, staticToken: token }
  return new Plugin({ incoming, outgoing: { url: where, staticToken: token } })
}

// Sends one packet, and answers one where the plugin can.
async function plugin (order) {
  const made = name === 'ilp-plugin-http' ? httpPlugin(order) : makePlugin(where)
  const asked = new Promise(resolve => {
    made.registerDataHandler(async data => {
      setImmediate(resolve, data.toString('hex'))
      return hex(order.reply)
    })
  })
  await made.connect()
  const answer = await made.sendData(hex(order.prepare))
  const heard = order.hears ? await asked : ''
  // The answer to what was heard leaves before the connection ends.
  await new Promise(resolve => setTimeout(resolve, 50))
  await made.disconnect()
  say('done', { answer: answer.toString('hex'), heard })
}

const roles = { client, server, payer, receiver, plugin }

say('ready', {})
listen(order => { roles[role](order).catch(fail) })
