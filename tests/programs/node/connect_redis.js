// connect-redis in express-session, unmodified, keeping a web shop's sessions: connect_redis.js PORT DATABASE
const http = require("http");
const session = require("express-session");
const { createClient } = require("redis");
const { RedisStore } = require("connect-redis");
const { check, finish } = require("./check.js")("connect-redis");

async function main() {
  const client = createClient({ socket: { host: "127.0.0.1", port: Number(process.argv[2]) }, database: Number(process.argv[3]) });
  await client.connect();
  let ids = 0;
  const store = new RedisStore({ client, prefix: "shop:", ttl: 3600, scanCount: 10 });
  const sessions = session({ store, secret: "s", resave: false, saveUninitialized: false, genid: () => `id${ids++}` });
  const server = http.createServer((request, response) => sessions(request, response, () => {
    const { url, session: own } = request;
    if (url === "/out") return own.destroy(() => response.end("out"));
    if (url === "/anew") return own.regenerate(() => ((request.session.views = 100), response.end("anew")));
    if (url === "/look") return response.end(`${own.views}`);
    own.views = (own.views || 0) + 1;
    own.cart = { [url]: own.views };
    response.end(`${own.views}`);
  }));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const get = (path, cookie) => new Promise((resolve, reject) => {
    http.get({ port: server.address().port, host: "127.0.0.1", path, headers: cookie ? { cookie } : {} }, (response) => {
      let body = "";
      response.on("data", (part) => (body += part));
      response.on("end", () => resolve({ body, cookie: (response.headers["set-cookie"] || [cookie])[0]?.split(";")[0] }));
    }).on("error", reject);
  });
  const ask = (method, ...args) => new Promise((resolve, reject) => store[method](...args, (error, answer) => (error ? reject(error) : resolve(answer))));

  const first = await get("/tea");
  check("a session begins", first.body === "1" && first.cookie.includes("id0"));
  check("it goes on", (await get("/tea", first.cookie)).body === "2" && (await get("/look", first.cookie)).body === "2");
  const visitors = [];
  for (let i = 0; i < 60; i++) visitors.push(await get("/cake"));
  check("sixty more", (await ask("length")) === 61 && new Set(await ask("ids")).size === 61);
  const all = await ask("all");
  check("all of them", all.length === 61 && all.filter((each) => each.cart["/cake"] === 1).length === 60);
  await client.expire("shop:id0", 10);
  await get("/look", first.cookie);
  check("a look makes it last", (await client.ttl("shop:id0")) > 3000);
  check("one logs out", (await get("/out", visitors[0].cookie)).body === "out" && (await ask("length")) === 60);
  check("who is out begins anew", (await get("/look", visitors[0].cookie)).body === "undefined");
  await get("/anew", visitors[1].cookie);
  check("a session is made anew", (await ask("get", "id2")) == null && (await ask("length")) === 60);
  await ask("set", "short", { cookie: { originalMaxAge: 2000, expires: new Date(Date.now() + 20) }, is: "short" });
  while (await client.exists("shop:short")) await new Promise((resolve) => setTimeout(resolve, 5));
  check("a cookie's end is the session's", (await ask("get", "short")) == null);
  const other = new RedisStore({ client, prefix: "other:" });
  await new Promise((resolve) => other.set("o", { cookie: {} }, resolve));
  await new Promise((resolve) => other.clear(resolve));
  check("a store clears its own alone", (await client.exists("other:o")) === 0 && (await ask("length")) === 60);
  finish();
}
main().catch(finish);
