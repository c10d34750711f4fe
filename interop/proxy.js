// A proxy as Node makes them: it passes each request on, after a while, and keeps connections for as
// long as Node does by itself, which it says in its answers and closes them after.
//
//     node proxy.js PORT MILLISECONDS
//
// It prints the port that it listens at; PORT is where requests go to.

const http = require('http')

const [port, delay] = process.argv.slice(2).map(Number)
const agent = new http.Agent({ keepAlive: true })

const server = http.createServer((request, response) => {
  const parts = []
  request.on('data', part => parts.push(part))
  request.on('end', () => setTimeout(() => {
    const options = {
      agent,
      port,
      host: '127.0.0.1',
      method: request.method,
      path: request.url,
      headers: { ...request.headers, host: `127.0.0.1:${port}` }
    }
    const onward = http.request(options, answer => {
      const { connection, 'keep-alive': keepAlive, ...headers } = answer.headers
      response.writeHead(answer.statusCode, headers)
      answer.pipe(response)
    })
    onward.on('error', () => { response.writeHead(502); response.end() })
    onward.end(Buffer.concat(parts))
  }, delay))
})

server.listen(0, '127.0.0.1', () => console.log(server.address().port))
