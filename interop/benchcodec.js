'use strict'
// Operations on packets, each alone: how many per second of CPU.

const crypto = require('crypto')
const IlpPacket = require('ilp-packet')
const {
  Packet, StreamMoneyFrame, StreamMaxMoneyFrame, StreamMaxDataFrame, ConnectionMaxDataFrame, StreamDataFrame
} = require('ilp-protocol-stream/dist/src/packet')

const key = Buffer.alloc(32, 1)
const ROUND = 50

function packets () {
  return {
    money: new Packet(14, 12, 1000, [new StreamMoneyFrame(1, 1)]),
    reply: new Packet(14, 13, 1000, [
      new ConnectionMaxDataFrame(65534),
      new StreamMaxMoneyFrame(1, '18446744073709551615', 1000),
      new StreamMaxDataFrame(1, 16384)
    ]),
    data: new Packet(14, 12, 0, [new StreamDataFrame(1, 65536, Buffer.alloc(16384, 7))])
  }
}

function processorTime () {
  const used = process.cpuUsage()
  return (used.user + used.system) / 1e6
}

// Per second of CPU, after as long a time for the compiler. Not awaited where it is no promise: that would cost a turn.
async function perSecond (run, seconds) {
  const isLater = run() instanceof Promise
  async function during () {
    const began = processorTime()
    let count = 0
    while (processorTime() < began + seconds) {
      for (let i = 0; i < ROUND; i++) {
        if (isLater) await run()
        else run()
      }
      count += ROUND
    }
    return count / (processorTime() - began)
  }
  await during()
  return during()
}

async function codec ({ seconds }) {
  const runs = {}
  for (const [name, packet] of Object.entries(packets())) {
    const plain = packet._serialize()
    const sealed = await packet.serializeAndEncrypt(key)
    runs[`${name}: encode`] = () => packet._serialize()
    runs[`${name}: decode`] = () => Packet._deserializeUnencrypted(plain)
    runs[`${name}: encode and seal`] = () => packet.serializeAndEncrypt(key)
    runs[`${name}: open and decode`] = () => Packet.decryptAndDeserialize(key, sealed)
  }
  const data = await packets().money.serializeAndEncrypt(key)
  const prepare = {
    destination: 'test.conn.bob.' + 'A'.repeat(66),
    amount: '1000',
    executionCondition: crypto.randomBytes(32),
    expiresAt: new Date(Date.now() + 30000),
    data
  }
  const prepareBytes = IlpPacket.serializeIlpPrepare(prepare)
  const fulfill = { fulfillment: crypto.randomBytes(32), data }
  const fulfillBytes = IlpPacket.serializeIlpFulfill(fulfill)
  runs['ILP Prepare: encode'] = () => IlpPacket.serializeIlpPrepare(prepare)
  runs['ILP Prepare: decode'] = () => IlpPacket.deserializeIlpPrepare(prepareBytes)
  runs['ILP Fulfill: encode'] = () => IlpPacket.serializeIlpFulfill(fulfill)
  runs['ILP Fulfill: decode'] = () => IlpPacket.deserializeIlpFulfill(fulfillBytes)
  const rates = {}
  for (const [name, run] of Object.entries(runs)) rates[name] = await perSecond(run, seconds)
  return { rates }
}

module.exports = { codec }
