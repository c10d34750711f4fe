// Calls a door over TLS and says what came of it: the status of an answer, or of a handshake.
//
//     node doors.js KIND PORT CERTIFICATE ALPN
//
// KIND is https or wss, ALPN a list with commas, or nothing.

const fs = require('fs')
const https = require('https')

const [kind, port, certificate, alpn] = process.argv.slice(2)
const options = {
  host: 'localhost',
  port: Number(port),
  ca: fs.readFileSync(certificate),
  headers: { Accept: 'application/spsp4+json' }
}
if (alpn) {
  options.ALPNProtocols = alpn.split(',')
}

function done (text) {
  console.log(text)
  process.exit(0)
}

if (kind === 'https') {
  https.get(options, response => done(`status ${response.statusCode}`))
    .on('error', error => done(`error ${error.message}`))
} else {
  const WebSocket = require('ws')
  const socket = new WebSocket(`wss://localhost:${port}/`, options)
  socket.on('open', () => done('status 101'))
  socket.on('error', error => done(`error ${error.message}`))
}
