'use strict'
// @interledger/pay as the sender, to a stream-receiver over a link with time in it.

const { makeLink, timed } = require('./benchlink')
const { makeReceiver } = require('./benchreceiving')

const PACKET = 1000n

function prepare ({ oneWayMs }) {
  const link = makeLink(oneWayMs, PACKET)
  const { answer, credentials } = makeReceiver(link.server.address)
  link.server.registerDataHandler(answer)
  return { plugin: link.client, ...credentials }
}

function check (result, plugin, before) {
  if (result.error) throw new Error(`pay: ${result.error}`)
  return { count: plugin.fulfilled - before }
}

// The amount is in whole units of the asset, whose scale is 9; a slippage of 0 is refused where the rate is 1.
async function pay (order) {
  const { quote } = require('pay')
  const { plugin, destinationAddress, sharedSecret } = prepare(order)
  const quoted = await quote({
    plugin,
    destinationAddress,
    sharedSecret,
    amountToSend: order.count * Number(PACKET) / 1e9,
    slippage: 0.01,
    prices: { USD: 1 }
  })
  const before = plugin.fulfilled
  let result
  const found = await timed(async () => { result = await quoted.pay() })
  return { ...found, ...check(result, plugin, before) }
}

async function payAlpha (order) {
  const { setupPayment, startQuote, pay } = require('pay-alpha')
  const { plugin, destinationAddress, sharedSecret } = prepare(order)
  await plugin.connect()
  const destination = await setupPayment({ plugin, destinationAddress, sharedSecret })
  const quote = await startQuote({
    plugin,
    destination,
    sourceAsset: { code: 'USD', scale: 9 },
    amountToSend: PACKET * BigInt(order.count),
    slippage: 0
  })
  const before = plugin.fulfilled
  let result
  const found = await timed(async () => { result = await pay({ plugin, destination, quote }) })
  return { ...found, ...check(result, plugin, before) }
}

module.exports = { pay, payAlpha }
