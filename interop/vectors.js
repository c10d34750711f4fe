'use strict'
// Reads the vectors of the manual with the JavaScript implementation.
//
//     node vectors.js FOLDER
//
// The tokens and the packets that a server answers are given to @interledger/stream-receiver too, in both versions.
// Prints one JSON object for each file, {event: 'checked', file, count}, and at the first
// difference {event: 'error', ...}.

const assert = require('assert')
const fs = require('fs')
const path = require('path')

const stream = 'ilp-protocol-stream/dist/src/'
const cryptoHelper = require(stream + 'crypto')
const { Packet, ConnectionNewAddressFrame, StreamMoneyFrame } = require(stream + 'packet')
const receipts = require(stream + 'util/receipt')
const { Reader } = require('oer-utils')
const ilpPacket = require('ilp-packet')

const hex = text => Buffer.from(text, 'hex')

// Where the JavaScript names a field otherwise than RFC 29.
const NAMES = {
  sourceAddress: 'sourceAccount',
  streamID: 'streamId',
  maxStreamID: 'maxStreamId'
}

function comparePacket (packet, fields, name) {
  assert.strictEqual(packet.sequence.toString(), fields.sequence, name)
  assert.strictEqual(Number(packet.ilpPacketType), fields.packetType, name)
  assert.strictEqual(packet.prepareAmount.toString(), fields.prepareAmount, name)
  assert.strictEqual(packet.frames.length, fields.frames.length, name)
  fields.frames.forEach((frame, index) => {
    const found = packet.frames[index]
    for (const field of Object.keys(frame)) {
      if (field === 'type') {
        const kind = found.constructor.name.replace(/Frame$/, '').toLowerCase()
        assert.strictEqual(kind, frame.type.toLowerCase(), name)
        continue
      }
      const value = found[NAMES[field] || field]
      const text = Buffer.isBuffer(value) ? value.toString('hex') : String(value)
      assert.strictEqual(text, frame[field], `${name}: ${field}`)
    }
  })
}

async function exchange (vector) {
  const secret = hex(vector.sharedSecret)
  const key = await cryptoHelper.generatePskEncryptionKey(secret)
  const prepare = ilpPacket.deserializeIlpPrepare(hex(vector.prepare))
  assert.strictEqual(prepare.amount, vector.amount)
  assert.strictEqual(prepare.data.toString('hex'), vector.envelope)
  const plain = await cryptoHelper.decrypt(key, prepare.data)
  assert.strictEqual(plain.toString('hex'), vector.plain)
  const packet = await Packet.decryptAndDeserialize(key, prepare.data)
  comparePacket(packet, vector.packet, vector.name)
  const written = packet._serialize().toString('hex')
  assert.strictEqual(vector.plain.slice(0, written.length), written)
  assert(/^0*$/.test(vector.plain.slice(written.length)))

  const fulfillmentKey = await cryptoHelper.generateFulfillmentKey(secret)
  const fulfillment = await cryptoHelper.generateFulfillment(fulfillmentKey, prepare.data)
  const condition = await cryptoHelper.hash(fulfillment)
  assert.strictEqual(fulfillment.toString('hex'), vector.fulfillment)
  assert.strictEqual(condition.toString('hex'), vector.condition)

  const reply = ilpPacket.deserializeIlpReply(hex(vector.reply))
  assert.strictEqual(reply.code || '', vector.replyCode)
  if (!reply.code) assert(reply.fulfillment.equals(fulfillment))
  const answer = await Packet.decryptAndDeserialize(key, reply.data)
  comparePacket(answer, vector.replyPacket, vector.name)
  assert.strictEqual(answer._serialize().toString('hex'), vector.replyPlain)
}

// What each version of stream-receiver answers to a Prepare for a token, with these octets in the envelope; the
// frames in the answer, and what it says the token says.
async function received (vector, plain) {
  const secret = hex(vector.sharedSecret)
  const key = await cryptoHelper.generatePskEncryptionKey(secret)
  const data = await cryptoHelper.encrypt(key, plain)
  const fulfillmentKey = await cryptoHelper.generateFulfillmentKey(secret)
  const fulfillment = await cryptoHelper.generateFulfillment(fulfillmentKey, data)
  const prepare = {
    amount: '5',
    expiresAt: new Date(Date.now() + 30000),
    executionCondition: await cryptoHelper.hash(fulfillment),
    destination: `test.server.${vector.token}`,
    data
  }
  return Promise.all(['stream-receiver', 'stream-receiver-latest'].map(async name => {
    const { StreamServer } = require(name)
    const server = new StreamServer({ serverSecret: hex(vector.serverSecret), serverAddress: 'test.server' })
    const money = server.createReply(prepare)
    if (!money.accept) return { code: money.code }
    money.setTotalReceived('5')
    const { frames } = await Packet.decryptAndDeserialize(key, money.accept().data)
    return { code: '', tag: money.paymentTag || '', frames }
  }))
}

const frameOf = (frames, name) => frames.find(frame => frame.constructor.name === name)

async function tokenOfReceiver (vector) {
  const frames = [new ConnectionNewAddressFrame('test.client'), new StreamMoneyFrame(1, 1)]
  const plain = new Packet(1, 12, 0, frames)._serialize()
  for (const { code, tag, frames } of await received(vector, plain)) {
    assert.strictEqual(code, vector.isGood ? '' : 'F06', vector.name)
    if (!vector.isGood) continue
    assert.strictEqual(tag, vector.connectionTag, vector.name)
    const asset = frameOf(frames, 'ConnectionAssetDetailsFrame')
    assert.strictEqual(asset ? asset.sourceAssetCode : null, vector.assetCode, vector.name)
    assert.strictEqual(asset ? asset.sourceAssetScale : null, vector.assetScale, vector.name)
    const proof = frameOf(frames, 'StreamReceiptFrame')
    assert.strictEqual(Boolean(proof), Boolean(vector.receiptNonce), vector.name)
    if (proof) {
      const found = receipts.verifyReceipt(proof.receipt, hex(vector.receiptSecret))
      assert.strictEqual(found.nonce.toString('hex'), vector.receiptNonce)
      assert.strictEqual(found.totalReceived.toString(), '5')
    }
  }
}

async function token (vector) {
  if (['stream-receiver', 'none'].includes(vector.format)) await tokenOfReceiver(vector)
  const octets = Buffer.from(vector.token, 'base64')
  const secret = hex(vector.serverSecret)
  // A token in another format is a bad one for it, and has another secret or none.
  if (vector.format === 'ilp-protocol-stream') {
    const shared = cryptoHelper.generateSharedSecretFromToken(secret, octets)
    assert.strictEqual(shared.toString('hex'), vector.sharedSecret, vector.name)
    const reader = new Reader(cryptoHelper.decryptConnectionAddressToken(secret, octets))
    reader.skipOctetString(cryptoHelper.TOKEN_NONCE_LENGTH)
    assert.strictEqual(reader.readVarOctetString().toString('ascii'), vector.connectionTag)
    assert.strictEqual(reader.readVarOctetString().toString('hex'), vector.receiptNonce)
    assert.strictEqual(reader.readVarOctetString().toString('hex'), vector.receiptSecret)
    return true
  }
  if (vector.format === 'interledger-rs') return false
  if (vector.format === 'none' && vector.token.endsWith('=')) return false // it pads as it likes
  assert.throws(() => cryptoHelper.decryptConnectionAddressToken(secret, octets), vector.name)
  return true
}

function receipt (vector) {
  const octets = hex(vector.receipt)
  if (!vector.isGood) {
    assert.throws(() => receipts.verifyReceipt(octets, hex(vector.secret)), vector.name)
    return
  }
  const found = receipts.verifyReceipt(octets, hex(vector.secret))
  assert.strictEqual(found.nonce.toString('hex'), vector.nonce)
  assert.strictEqual(Number(found.streamId), vector.streamID)
  assert.strictEqual(found.totalReceived.toString(), vector.totalReceived)
  const made = receipts.createReceipt({
    nonce: hex(vector.nonce),
    streamId: vector.streamID,
    totalReceived: vector.totalReceived,
    secret: hex(vector.secret)
  })
  assert(made.equals(octets), vector.name)
}

// It reads what we do not: it takes any type of packet, and looks neither at where data end, nor
// at what an address is made of, nor at whether there is such a time.
const LENIENT = [
  'a type that is none', 'data beyond 2**64', 'an address with other than ASCII',
  'a time that is none'
]

// Nor has stream-receiver any streams: what it can read it takes.
async function malformed (vector) {
  const plain = hex(vector.plain)
  const read = () => Packet._deserializeUnencrypted(plain)
  if (vector.isPacket || LENIENT.includes(vector.name)) read()
  else assert.throws(read, vector.name)
  for (const { code } of await received({ ...vector, ...address }, plain)) {
    if (vector.ilpCode === '') assert.strictEqual(code, '', vector.name)
    else if (!vector.isPacket && !LENIENT.includes(vector.name)) assert(code, vector.name)
  }
}

function ilp (vector) {
  const read = () => ilpPacket.deserializeIlpPrepare(hex(vector.packet))
  if (vector.ilpCode === 'F01' && !LENIENT.includes(vector.name)) assert.throws(read, vector.name)
  else read()
}

let address // a token that stream-receiver reads, with its secrets

async function main (folder) {
  const tokens = JSON.parse(fs.readFileSync(path.join(folder, 'tokens.json')))
  const { token: text, serverSecret, sharedSecret } = tokens.find(each => each.format === 'stream-receiver')
  address = { token: text, serverSecret, sharedSecret }
  const files = {
    'exchanges.json': exchange,
    'tokens.json': token,
    'receipts.json': receipt,
    'malformed.json': malformed,
    'ilp.json': ilp
  }
  for (const file of Object.keys(files)) {
    let count = 0
    for (const vector of JSON.parse(fs.readFileSync(path.join(folder, file)))) {
      try {
        if (await files[file](vector) !== false) count++
      } catch (error) {
        console.log(JSON.stringify({
          event: 'error', file, name: vector.name, message: error.stack
        }))
        process.exit(1)
      }
    }
    console.log(JSON.stringify({ event: 'checked', file, count }))
  }
}

main(process.argv[2])
