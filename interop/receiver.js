'use strict'
// A receiver without state. usage: node receiver.js stream-receiver|stream-receiver-latest PLUGIN ADDRESS SECRET
// The secret is the server's, in hexadecimal. Each line of its input is {"wanted": ...} with
//   "credentials": and {"at" (another address), "tag", "asset", "nonce", "receiptSecret" (hex), "count"};
//   "totals": what was accepted, and the data that came beside it where this version shows them;
//   "decline": and {"how": "temporary" or "final", "times", "reason"}: what is said to the next packets.

const IlpPacket = require('ilp-packet')
const { makePlugin, say, listen, fail } = require('./peer')

const [name, where, address, secret] = process.argv.slice(2)
const { StreamServer } = require(name)

const totals = { packets: 0, amount: 0n, data: '', tag: '' }
const received = new Map() // by connection
let declining = { times: 0 }

function serverAt (serverAddress) {
  return new StreamServer({ serverSecret: Buffer.from(secret, 'hex'), serverAddress })
}

function judge (money, amount) {
  if (declining.times > 0) {
    declining.times--
    return declining.how === 'final' ? money.finalDecline(declining.reason) : money.temporaryDecline()
  }
  const total = (received.get(money.connectionId) || 0n) + amount
  received.set(money.connectionId, total)
  totals.packets++
  totals.amount += amount
  totals.tag = money.paymentTag || ''
  for (const frame of money.dataFrames || []) totals.data += frame.data.toString()
  money.setTotalReceived(String(total))
  return money.accept()
}

function answer (server, data) {
  const prepare = IlpPacket.deserializeIlpPrepare(data)
  const reply = server.createReply(prepare)
  const final = reply.accept ? judge(reply, BigInt(prepare.amount)) : reply
  return final.fulfillment ? IlpPacket.serializeIlpFulfill(final) : IlpPacket.serializeIlpReject(final)
}

function make (order) {
  const server = serverAt(order.at || address)
  const receiptSetup = order.nonce && {
    nonce: Buffer.from(order.nonce, 'hex'),
    secret: Buffer.from(order.receiptSecret, 'hex')
  }
  return Array.from({ length: order.count || 1 }, () => {
    const made = server.generateCredentials({ paymentTag: order.tag, receiptSetup, asset: order.asset })
    return { address: made.ilpAddress, secret: made.sharedSecret.toString('hex') }
  })
}

async function main () {
  const plugin = makePlugin(where)
  const server = serverAt(address)
  plugin.registerDataHandler(async data => answer(server, data))
  await plugin.connect()
  say('listening', {})
  listen(order => {
    if (order.wanted === 'credentials') {
      say('credentials', { each: make(order) })
    } else if (order.wanted === 'decline') {
      declining = order
      say('declining', {})
    } else {
      say('totals', { ...totals, amount: String(totals.amount) })
    }
  })
}

main().catch(fail)
