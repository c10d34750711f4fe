'use strict'
// One measurement of a peer in this process. usage: node bench.js WHAT JSON
// It says "done" with seconds on the wall ("wall"), seconds of CPU ("cpu"), how much was done ("count", packets
// or bytes or connections) and the most memory that the process had ("peak", MiB).

const { stream, say, fail } = require('./peer')
const { makeLink, timed, peak } = require('./benchlink')

const PACKET = 1000n
const UNLIMITED = '18446744073709551615'

// A server that takes everything, and calls back with each piece of money or data that it gets.
async function listenOn (link, heard) {
  const server = await stream.createServer({ plugin: link.server })
  server.on('connection', connection => {
    connection.on('error', () => {})
    connection.on('stream', each => {
      each.setReceiveMax(UNLIMITED)
      each.on('money', amount => heard(Number(amount)))
      each.on('data', chunk => heard(chunk.length))
    })
  })
  return server
}

function connect (link, server, options) {
  const { destinationAccount, sharedSecret } = server.generateAddressAndSecret()
  return stream.createConnection({ plugin: link.client, destinationAccount, sharedSecret, ...options })
}

const KNOWN_RATE = { slippage: 0, exchangeRate: 1 }

async function money ({ count, warm, oneWayMs = 0 }) {
  const link = makeLink(oneWayMs, PACKET)
  let packets = 0
  const server = await listenOn(link, () => { packets++ })
  const connection = await connect(link, server, KNOWN_RATE)
  const opened = connection.createStream()
  await opened.sendTotal(String(PACKET * BigInt(warm)), { timeout: 600000 })
  const before = packets
  const total = String(PACKET * BigInt(warm + count))
  const found = await timed(() => opened.sendTotal(total, { timeout: 600000 }))
  return { ...found, count: packets - before }
}

async function data ({ count, warm, oneWayMs = 0 }) {
  const link = makeLink(oneWayMs, 0n)
  let bytes = 0
  let wanted = 0
  let done = () => {}
  const server = await listenOn(link, length => {
    bytes += length
    if (bytes === wanted) done()
  })
  const connection = await connect(link, server, KNOWN_RATE)
  const opened = connection.createStream()
  const chunk = Buffer.alloc(1 << 14, 0xa5)
  async function send (size) {
    wanted += size
    const finished = new Promise(resolve => { done = resolve })
    for (let sent = 0; sent < size; sent += chunk.length) {
      if (!opened.write(chunk)) await new Promise(resolve => opened.once('drain', resolve))
    }
    await finished
  }
  if (warm) await send(warm)
  return { ...await timed(() => send(count)), count }
}

// Connections one after the other, each opened with the rate measured and closed.
async function setup ({ count, warm }) {
  const link = makeLink(0, 0n)
  const server = await listenOn(link, () => {})
  async function many (times) {
    for (let i = 0; i < times; i++) await (await connect(link, server, { slippage: 0.01 })).end()
  }
  await many(warm)
  return { ...await timed(() => many(count)), count }
}

const RATES = { default: {}, measured: {}, any: { slippage: 1 }, given: KNOWN_RATE }

// From credentials to the first unit at the server, the median of several connections.
async function first ({ count, oneWayMs, rate }) {
  const link = makeLink(oneWayMs, 0n)
  let done = () => {}
  const server = await listenOn(link, () => done())
  async function one () {
    const arrived = new Promise(resolve => { done = resolve })
    const connection = await connect(link, server, RATES[rate])
    const sent = connection.createStream().sendTotal('1', { timeout: 600000 })
    await arrived
    return { sent, connection }
  }
  const walls = []
  let cpu = 0
  for (let i = 0; i <= count; i++) {
    let made
    const found = await timed(async () => { made = await one() })
    await made.sent
    await made.connection.end()
    if (i) walls.push(found.wall)
    cpu += found.cpu
  }
  walls.sort((a, b) => a - b)
  return { wall: walls[walls.length >> 1], cpu, count: 1 }
}

async function main (what, words) {
  const known = {
    money,
    data,
    setup,
    first,
    pay: order => require('./benchpay').pay(order),
    'pay-alpha': order => require('./benchpay').payAlpha(order),
    server: order => require('./benchreceiving').server(order),
    receiver: order => require('./benchreceiving').receiver(order),
    codec: order => require('./benchcodec').codec(order)
  }
  const found = await known[what](JSON.parse(words))
  say('done', { ...found, peak: peak() })
}

module.exports = { PACKET, UNLIMITED }

if (require.main === module) {
  main(...process.argv.slice(2)).then(() => process.exit(0)).catch(fail)
}
