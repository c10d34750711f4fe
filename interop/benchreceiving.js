'use strict'
// Receivers alone: all the Prepares are made before the time is taken.

const crypto = require('crypto')
const IlpPacket = require('ilp-packet')
const { Packet, StreamMoneyFrame, ConnectionNewAddressFrame, ConnectionAssetDetailsFrame } =
  require('ilp-protocol-stream/dist/src/packet')
const { stream } = require('./peer')
const { makeLink, timed } = require('./benchlink')

const FULFILL = 13
const PREPARE = 12

const hmac = (key, data) => crypto.createHmac('sha256', key).update(data).digest()
const sha256 = data => crypto.createHash('sha256').update(data).digest()

// A stream-receiver of version 0.3.3-alpha.3 that accepts everything, as in its README.
function makeReceiver (address) {
  const { StreamServer } = require('stream-receiver')
  const server = new StreamServer({ serverSecret: crypto.randomBytes(32), serverAddress: address })
  const made = server.generateCredentials({ asset: { code: 'USD', scale: 9 } })
  async function answer (data) {
    const reply = server.createReply(IlpPacket.deserializeIlpPrepare(data))
    if (typeof reply.accept === 'function') return IlpPacket.serializeIlpFulfill(reply.accept())
    return reply.fulfillment ? IlpPacket.serializeIlpFulfill(reply) : IlpPacket.serializeIlpReject(reply)
  }
  return { answer, credentials: { destinationAddress: made.ilpAddress, sharedSecret: made.sharedSecret } }
}

async function makePrepares (count, destination, sharedSecret) {
  const key = hmac(sharedSecret, 'ilp_stream_encryption')
  const fulfillmentKey = hmac(sharedSecret, 'ilp_stream_fulfillment')
  const expiresAt = new Date(Date.now() + 600000)
  const prepares = []
  for (let i = 0; i < count; i++) {
    const frames = [new StreamMoneyFrame(1, 1)]
    // An empty address: the server has nobody to send Prepares of its own to.
    if (!i) frames.unshift(new ConnectionNewAddressFrame(''), new ConnectionAssetDetailsFrame('USD', 9))
    const data = await new Packet(i + 1, PREPARE, 1000, frames).serializeAndEncrypt(key)
    const executionCondition = sha256(hmac(fulfillmentKey, data))
    prepares.push(IlpPacket.serializeIlpPrepare({ destination, amount: '1000', executionCondition, expiresAt, data }))
  }
  return prepares
}

// The packets before the timed ones go one by one: what overtakes the first of a connection is answered with less.
async function measure ({ count, warm, inFlight }, prepares, answer) {
  let next = 0
  let fulfilled = 0
  for (; next < warm; next++) await answer(prepares[next])
  async function one () {
    while (next < warm + count) {
      const reply = await answer(prepares[next++])
      if (reply[0] === FULFILL) fulfilled++
    }
  }
  const found = await timed(() => Promise.all(Array.from({ length: inFlight }, one)))
  if (fulfilled !== count) throw new Error(`${fulfilled} of ${count} were fulfilled`)
  return { ...found, count }
}

async function receiver (order) {
  const { answer, credentials } = makeReceiver('test.server')
  const total = order.warm + order.count
  const prepares = await makePrepares(total, credentials.destinationAddress, credentials.sharedSecret)
  return measure(order, prepares, answer)
}

async function server (order) {
  const link = makeLink(0, 0n)
  const made = await stream.createServer({ plugin: link.server })
  made.on('connection', connection => connection.on('stream', each => each.setReceiveMax('18446744073709551615')))
  const { destinationAccount, sharedSecret } = made.generateAddressAndSecret()
  const prepares = await makePrepares(order.warm + order.count, destinationAccount, sharedSecret)
  return measure(order, prepares, link.server.receive)
}

module.exports = { makeReceiver, server, receiver }
