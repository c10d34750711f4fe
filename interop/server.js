'use strict'
// A STREAM server. usage: node server.js PLUGIN
// Each line of its input is {"wanted": "credentials"}, which are new each time, or {"wanted": "totals"}.

const { stream, makePlugin, say, listen, fail } = require('./peer')

async function main () {
  const server = await stream.createServer({ plugin: makePlugin(process.argv[2]) })
  const totals = { packets: 0, amount: 0n, bytes: 0 }
  server.on('connection', connection => {
    connection.on('error', () => {})
    connection.on('stream', each => {
      each.setReceiveMax('18446744073709551615')
      each.on('error', () => {})
      each.on('money', amount => { totals.packets++; totals.amount += BigInt(amount) })
      each.on('data', chunk => { totals.bytes += chunk.length })
    })
  })
  function offer () {
    const { destinationAccount, sharedSecret } = server.generateAddressAndSecret()
    say('credentials', { address: destinationAccount, secret: sharedSecret.toString('hex') })
  }
  say('listening', {})
  listen(order => {
    if (order.wanted === 'credentials') offer()
    else say('totals', { ...totals, amount: String(totals.amount) })
  })
}

main().catch(fail)
