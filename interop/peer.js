'use strict'
// What the drivers share: ilp-protocol-stream, the plugin that a test names, and lines of JSON.

const stream = require('ilp-protocol-stream')

// ilp-protocol-stream 2.7.1 assigns `closed` on a Duplex, which Node 18 and later define without a setter.
Object.defineProperty(stream.DataAndMoneyStream.prototype, 'closed', {
  configurable: true,
  get () { return this._isClosed === true },
  set (value) { this._isClosed = value }
})

// A URL makes an ilp-plugin-btp; "default" is what ilp-plugin makes of the environment.
function makePlugin (where) {
  if (where === 'default') return require('ilp-plugin')()
  const Plugin = require('ilp-plugin-btp')
  return new Plugin({ server: where })
}

function say (event, values) {
  process.stdout.write(JSON.stringify({ event, ...values }) + '\n')
}

// Calls a function with each line of standard input, as JSON; the end of the input ends the process.
function listen (heard) {
  const lines = require('readline').createInterface({ input: process.stdin })
  lines.on('line', line => heard(JSON.parse(line)))
  lines.on('close', () => process.exit(0))
}

function fail (error) {
  say('error', { message: String((error && error.message) || error) })
  process.exit(1)
}

// A packet under way when its plugin is disconnected times out long after, and nobody waits for it.
process.on('unhandledRejection', () => {})

module.exports = { stream, makePlugin, say, listen, fail }
