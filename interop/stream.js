'use strict'
// A STREAM server and clients, of either version. usage: node stream.js PACKAGE
// Each line of its input is an order, {"do": NAME, ...}; most are answered by an event of their own. One that fails
// ends the process, unless it says "mayFail".
// Connections and their streams are kept until the end, so that a report says what became of them.

const crypto = require('crypto')
const peer = require('./peer')
const lib = process.argv[2] === 'ilp-protocol-stream' ? peer.stream : require(process.argv[2])

const MOST = '18446744073709551615'
const kept = []
let server
let isRefusing = false
let receiveMax = MOST

const hex = text => text && Buffer.from(text, 'hex')

// The bytes that the other end can make too, from the same seed.
function content (seed, size) {
  if (size === 0) return Buffer.alloc(0)
  return crypto.createHash('shake256', { outputLength: size }).update(seed).digest()
}

function keepStream (record, stream) {
  const own = { stream, bytes: 0, packets: 0, most: 0n, isEnded: false, isClosed: false, errors: [] }
  own.hash = crypto.createHash('sha256')
  record.streams.set(stream.id, own)
  stream.on('error', error => own.errors.push(error.message))
  stream.on('end', () => { own.isEnded = true })
  stream.on('close', () => { own.isClosed = true })
  stream.on('data', chunk => { own.bytes += chunk.length; own.hash.update(chunk) })
  stream.on('money', amount => {
    own.packets++
    if (BigInt(amount) > own.most) own.most = BigInt(amount)
  })
  stream.setReceiveMax(receiveMax)
  return stream
}

function keep (connection) {
  const record = { connection, streams: new Map(), isClosed: false, errors: [] }
  kept.push(record)
  connection.on('error', error => record.errors.push(error.message))
  connection.on('close', () => { record.isClosed = true })
  connection.on('stream', stream => keepStream(record, stream))
  return record
}

// Orders are about the last connection.
const last = () => kept[kept.length - 1]
const streamOf = order => last().streams.get(order.stream).stream

function tellStream (own) {
  const { stream, bytes, packets, isEnded, isClosed, errors } = own
  return {
    id: stream.id,
    sent: stream.totalSent,
    received: stream.totalReceived,
    receipt: stream.receipt ? stream.receipt.toString('hex') : '',
    sha256: own.hash.copy().digest('hex'),
    most: String(own.most),
    bytes,
    packets,
    isEnded,
    isClosed,
    errors
  }
}

function tell ({ connection, streams, isClosed, errors }) {
  return {
    sent: connection.totalSent,
    delivered: connection.totalDelivered,
    received: connection.totalReceived,
    tag: connection.connectionTag || '',
    asset: [connection.destinationAssetCode, connection.destinationAssetScale],
    isClosed,
    errors,
    streams: [...streams.values()].map(tellStream)
  }
}

async function connect (order, plugin) {
  return lib.createConnection({
    plugin,
    destinationAccount: order.address,
    sharedSecret: hex(order.secret),
    ...order.options
  })
}

// A connection disconnects its plugin at its end; this one takes no notice of that.
function lasting (plugin) {
  return {
    connect: async () => {},
    disconnect: async () => {},
    isConnected: () => true,
    sendData: data => plugin.sendData(data),
    registerDataHandler: handler => plugin.registerDataHandler(handler),
    deregisterDataHandler: () => plugin.deregisterDataHandler()
  }
}

async function payMany (order) {
  const plugin = peer.makePlugin(order.plugin)
  await plugin.connect()
  let delivered = 0n
  for (const [address, secret] of order.credentials) {
    const connection = await connect({ address, secret, options: order.options }, lasting(plugin))
    await connection.createStream().sendTotal(order.amount)
    delivered += BigInt(connection.totalDelivered)
    await connection.end()
  }
  await plugin.disconnect()
  return delivered
}

const orders = {
  async serve (order) {
    receiveMax = order.receiveMax || MOST
    server = await lib.createServer({
      plugin: peer.makePlugin(order.plugin),
      serverSecret: hex(order.serverSecret),
      shouldFulfill: async () => { if (isRefusing) throw new Error('not now') },
      ...order.options
    })
    server.on('connection', keep)
    peer.say('listening', {})
  },
  async refuse (order) {
    isRefusing = order.isOn
    peer.say('refusing', {})
  },
  async credentials (order) {
    const all = []
    for (let i = 0; i < (order.count || 1); i++) {
      const options = { receiptNonce: hex(order.nonce), receiptSecret: hex(order.receiptSecret) }
      const made = server.generateAddressAndSecret({ connectionTag: order.tag, ...options })
      all.push([made.destinationAccount, made.sharedSecret.toString('hex')])
    }
    peer.say('credentials', { all })
  },
  async connect (order) {
    receiveMax = order.receiveMax || MOST
    keep(await connect(order, peer.makePlugin(order.plugin)))
    peer.say('connected', {})
  },
  // A rude client takes no notice of what the other end said of stream ids.
  async open (order) {
    if (order.isRude) last().connection.remoteMaxStreamId = 1000
    peer.say('opened', { stream: keepStream(last(), last().connection.createStream()).id })
  },
  async offer (order) {
    streamOf(order).setSendMax(order.amount)
  },
  async send (order) {
    await streamOf(order).sendTotal(order.amount, { timeout: order.timeout || 60000 })
    peer.say('sent', { total: streamOf(order).totalSent })
  },
  async write (order) {
    streamOf(order).write(content(order.seed, order.size))
  },
  async end (order) {
    streamOf(order).end()
  },
  async destroy (order) {
    streamOf(order).destroy(order.message && new Error(order.message))
  },
  async close (order) {
    await last().connection.end()
    peer.say('closed', {})
  },
  async abort (order) {
    await last().connection.destroy(order.message && new Error(order.message))
    peer.say('closed', {})
  },
  async verify (order) {
    const receipt = lib.verifyReceipt(hex(order.receipt), hex(order.secret))
    const nonce = receipt.nonce.toString('hex')
    peer.say('verified', { nonce, stream: Number(receipt.streamId), total: String(receipt.totalReceived) })
  },
  async many (order) {
    peer.say('done', { delivered: String(await payMany(order)) })
  },
  async count () {
    const received = kept.reduce((sum, each) => sum + BigInt(each.connection.totalReceived), 0n)
    const active = Object.keys(server.pool.activeConnections).length
    peer.say('counted', { connections: kept.length, active, received: String(received) })
  },
  async report () {
    peer.say('report', { connections: kept.map(tell) })
  }
}

peer.say('ready', {})
peer.listen(order => {
  orders[order.do](order).catch(error => {
    if (!order.mayFail) peer.fail(error)
    peer.say('failed', { message: error.message })
  })
})
