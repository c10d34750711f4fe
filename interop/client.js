'use strict'
// A STREAM client. usage: node client.js PLUGIN
// Each line of its input is a payment: {"address", "secret" (hex), "amount", "data" (text)}.

const { stream, makePlugin, say, listen, fail } = require('./peer')

// The connection's end disconnects its plugin, so each payment has one of its own.
async function pay (order) {
  const plugin = makePlugin(process.argv[2])
  await plugin.connect()
  const connection = await stream.createConnection({
    plugin,
    destinationAccount: order.address,
    sharedSecret: Buffer.from(order.secret, 'hex'),
    slippage: 0.01
  })
  const opened = connection.createStream()
  const began = process.hrtime.bigint()
  const cpu = process.cpuUsage()
  if (order.data) opened.write(order.data)
  await opened.sendTotal(order.amount, { timeout: 300000 })
  const used = process.cpuUsage(cpu)
  say('paid', {
    sent: connection.totalSent,
    delivered: connection.totalDelivered,
    seconds: Number(process.hrtime.bigint() - began) / 1e9,
    cpu: (used.user + used.system) / 1e6
  })
  await connection.end()
}

async function main () {
  say('ready', {})
  let last = Promise.resolve()
  listen(order => { last = last.then(() => pay(order)).catch(fail) })
}

main().catch(fail)
