'use strict'
// What the measurements share: a link within one process, and how time, CPU and memory are read.

const fs = require('fs')
const ILDCP = require('ilp-protocol-ildcp')
const IlpPacket = require('ilp-packet')

const FULFILL = 13

// One end of the link. It reads no more of a packet than it must: the amount, by its place.
class End {
  constructor (address, oneWayMs, maximumAmount) {
    this.address = address
    this.oneWayMs = oneWayMs
    this.maximumAmount = maximumAmount
    this.other = null
    this.receive = null
    this.fulfilled = 0
    this.isUp = false
  }

  async connect () { this.isUp = true }
  async disconnect () { this.isUp = false }
  isConnected () { return this.isUp }
  registerDataHandler (receive) { this.receive = receive }
  deregisterDataHandler () { this.receive = null }
  registerMoneyHandler () {}
  deregisterMoneyHandler () {}
  async sendMoney () {}
  on () { return this }
  once () { return this }
  removeListener () { return this }

  async sendData (data) {
    const amount = amountOf(data)
    if (amount === 0n && isForPeer(data)) {
      return ILDCP.serializeIldcpResponse({
        clientAddress: this.address, assetCode: 'USD', assetScale: 9
      })
    }
    if (this.maximumAmount && amount > this.maximumAmount) return tooLarge(amount, this.maximumAmount)
    if (this.oneWayMs) await sleep(this.oneWayMs)
    const reply = await this.other.receive(data)
    if (this.oneWayMs) await sleep(this.oneWayMs)
    if (reply[0] === FULFILL) this.fulfilled++
    return reply
  }
}

function amountOf (prepare) {
  const first = prepare[1]
  return prepare.readBigUInt64BE(first < 128 ? 2 : 2 + (first & 127))
}

function isForPeer (prepare) {
  return prepare.length < 200 && prepare.includes('peer.config')
}

function tooLarge (amount, maximum) {
  const data = Buffer.alloc(16)
  data.writeBigUInt64BE(amount, 0)
  data.writeBigUInt64BE(maximum, 8)
  return IlpPacket.serializeIlpReject({ code: 'F08', message: '', triggeredBy: 'test.link', data })
}

function makeLink (oneWayMs, maximumAmount) {
  const client = new End('test.client', oneWayMs, maximumAmount)
  const server = new End('test.server', oneWayMs, 0n)
  client.other = server
  server.other = client
  return { client, server }
}

function sleep (ms) {
  return new Promise(resolve => setTimeout(resolve, ms))
}

// Seconds on the wall and of CPU, all threads together, that a function takes until its promise is fulfilled.
async function timed (run) {
  const cpu = process.cpuUsage()
  const began = process.hrtime.bigint()
  await run()
  const wall = Number(process.hrtime.bigint() - began) / 1e9
  const used = process.cpuUsage(cpu)
  return { wall, cpu: (used.user + used.system) / 1e6 }
}

// The most memory that this process has had, in MiB.
function peak () {
  return Number(/VmHWM:\s+(\d+)/.exec(fs.readFileSync('/proc/self/status', 'utf8'))[1]) / 1024
}

module.exports = { makeLink, timed, peak, sleep }
