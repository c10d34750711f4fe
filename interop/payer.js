'use strict'
// A payer. usage: node payer.js pay|pay-alpha PLUGIN
// Each line of its input is {"wanted": ...} with
//   "quote": and {"address", "secret" (hex), "amount" or "deliver" (base units), "asset", "slippage", "prices"};
//   "pay": pays what was quoted last, and verifies its receipt if there is {"receiptSecret" (hex)};
//   "close": gives the quote up, with a close frame if this version has one;
//   "loop": and {"each": credentials, as in a quote}, pays all in a row: pay-alpha what was quoted last.
// A quote or a payment that fails is an answer too, with "error".

const { makePlugin, say, listen, fail } = require('./peer')
const { verifyReceipt } = require('ilp-protocol-stream/dist/src/util/receipt')

const [name, where] = process.argv.slice(2)
const library = require(name)
let plugin // of pay-alpha; pay disconnects the plugin of each payment
let last // what was quoted

function wrong (error) {
  if (library.isPaymentError(error)) return { error }
  throw error
}

// pay takes whole units, and gives them.
function whole (units, scale) {
  const digits = units.padStart(scale + 1, '0')
  return digits.slice(0, digits.length - scale) + '.' + digits.slice(digits.length - scale)
}

async function quoteOld (order) {
  const target = order.amount
    ? { amountToSend: whole(order.amount, order.asset.scale) }
    : { amountToDeliver: require('pay/dist/src/utils').Int.from(order.deliver) }
  const quote = await library.quote({
    plugin: makePlugin(where),
    destinationAddress: order.address,
    sharedSecret: Buffer.from(order.secret, 'hex'),
    slippage: order.slippage,
    prices: order.prices,
    ...target
  })
  const destination = quote.destinationAccount
  last = {
    async pay () {
      const { error, amountSent, amountDelivered } = await quote.pay()
      return {
        error,
        amountSent: amountSent.shiftedBy(order.asset.scale).toFixed(),
        amountDelivered: amountDelivered.shiftedBy(destination.assetScale).toFixed()
      }
    },
    close: quote.cancel
  }
  return { code: destination.assetCode, scale: destination.assetScale }
}

async function quoteNew (order) {
  const destination = await library.setupPayment({
    plugin,
    destinationAddress: order.address,
    sharedSecret: Buffer.from(order.secret, 'hex')
  })
  const quote = await library.startQuote({
    plugin,
    destination,
    sourceAsset: order.asset,
    amountToSend: order.amount && BigInt(order.amount),
    amountToDeliver: order.deliver && BigInt(order.deliver),
    slippage: order.slippage,
    prices: order.prices
  })
  last = {
    pay: (other = destination) => library.pay({ plugin, destination: other, quote }),
    close: () => library.closeConnection(plugin, destination),
    destination
  }
  return destination.destinationAsset
}

async function quote (order) {
  try {
    return await (name === 'pay' ? quoteOld : quoteNew)(order)
  } catch (error) {
    return wrong(error)
  }
}

async function pay (order) {
  const paid = await last.pay()
  const receipt = paid.streamReceipt && Buffer.from(paid.streamReceipt)
  const isVerified = receipt && order.receiptSecret
  return {
    error: paid.error,
    sent: String(paid.amountSent),
    delivered: String(paid.amountDelivered),
    receipt: receipt ? receipt.toString('hex') : '',
    proved: isVerified
      ? String(verifyReceipt(receipt, Buffer.from(order.receiptSecret, 'hex')).totalReceived)
      : ''
  }
}

// A payment of pay-alpha needs no quote of its own where the path is known.
async function payAgain (credentials) {
  return last.pay({
    ...last.destination,
    destinationAddress: credentials.address,
    sharedSecret: Buffer.from(credentials.secret, 'hex'),
    requestCounter: library.Counter.from(0)
  })
}

async function loop (order) {
  let delivered = 0n
  for (const credentials of order.each) {
    if (name === 'pay') await quoteOld({ ...order, ...credentials })
    const paid = name === 'pay' ? await last.pay() : await payAgain(credentials)
    if (paid.error) return wrong(paid.error)
    delivered += BigInt(paid.amountDelivered)
  }
  return { delivered: String(delivered) }
}

async function obey (order) {
  if (order.wanted === 'quote') say('quoted', await quote(order))
  else if (order.wanted === 'pay') say('paid', await pay(order))
  else if (order.wanted === 'loop') say('looped', await loop(order))
  else say('closed', await last.close() || {})
}

async function main () {
  if (name === 'pay-alpha') {
    plugin = makePlugin(where)
    await plugin.connect()
  }
  say('ready', {})
  let before = Promise.resolve()
  listen(order => { before = before.then(() => obey(order)).catch(fail) })
}

main().catch(fail)
