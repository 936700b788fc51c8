// socket.io with its adapters for Redis, unmodified, doing a chat's work: socket_io.js PORT DATABASE
//
// Two servers whose guests hear one another: one by ioredis and one by node-redis, by PUBLISH and then by SPUBLISH.
const { createServer } = require("http");
const Redis = require("ioredis");
const { createClient } = require("redis");
const { Server } = require("socket.io");
const { io } = require("socket.io-client");
const { createAdapter, createShardedAdapter } = require("@socket.io/redis-adapter");
const { check, finish, until } = require("./check.js")("socket.io");

const place = { host: "127.0.0.1", port: Number(process.argv[2]), db: Number(process.argv[3]) };
const patience = 60000;

async function connectNodeRedis() {
  return createClient({ socket: { host: place.host, port: place.port }, database: place.db }).connect();
}

async function beginServer(adapter) {
  const http = createServer();
  const server = new Server(http, { adapter });
  server.on("connection", (guest) => {
    guest.on("enter", (room, entered) => (guest.join(room), entered()));
    guest.on("say", (room, what) => guest.to(room).emit("said", what));
  });
  server.on("count", (answer) => answer(server.sockets.sockets.size));
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return { server, address: `http://127.0.0.1:${http.address().port}` };
}

async function beginGuest(name, address) {
  const socket = io(address, { transports: ["websocket"], forceNew: true, reconnection: false });
  const guest = { name, socket, heard: [] };
  socket.on("said", (what) => guest.heard.push(what));
  socket.on("ask", (answer) => answer(name));
  await new Promise((resolve) => socket.on("connect", resolve));
  return guest;
}

// expected: how many channels two servers listen to
async function chat(by, create, options, expected, store) {
  const [one, two] = [
    await beginServer(create(new Redis(place), new Redis(place), options)),
    await beginServer(create(await connectNodeRedis(), await connectNodeRedis(), options)),
  ];
  const channels = async () => (await store.pubsub("CHANNELS")).concat(await store.pubsub("SHARDCHANNELS")).length;
  await until(async () => (await channels()) === expected); // the servers don't wait for it
  const [anna, bert, carl] = [await beginGuest("anna", one.address), await beginGuest("bert", two.address), await beginGuest("carl", two.address)];
  for (const guest of [anna, bert]) await guest.socket.emitWithAck("enter", "garden");
  const lines = Array.from({ length: 20 }, (_, i) => `line ${i}`);
  for (const line of lines) anna.socket.emit("say", "garden", line);
  await until(() => bert.heard.length >= lines.length);
  bert.socket.emit("say", "garden", "answer");
  await until(() => anna.heard.length >= 1);
  one.server.emit("said", "one calls");
  await until(() => carl.heard.length >= 1);
  two.server.emit("said", Buffer.from("two calls"));
  for (const guest of [anna, bert, carl]) await until(() => guest.heard.some(Buffer.isBuffer));
  const heard = (guest, ...expected) => guest.heard.map(String).join() === [...expected, "one calls", "two calls"].join();
  check(`${by}: who is in a room hears what is said there, in order`, heard(anna, "answer") && heard(bert, ...lines) && heard(carl));
  check(`${by}: all are asked`, (await one.server.timeout(patience).emitWithAck("ask")).sort().join() === "anna,bert,carl");
  check(`${by}: one server asks the other`, (await one.server.serverSideEmitWithAck("count")).join() === "2");
  check(`${by}: all are known on both`, (await one.server.fetchSockets()).length === 3 && (await two.server.in("garden").fetchSockets()).length === 2);
  two.server.socketsJoin("cellar");
  await until(async () => (await one.server.in("cellar").fetchSockets()).length === 3);
  const left = [anna, bert, carl].map(({ socket }) => new Promise((resolve) => socket.on("disconnect", resolve)));
  one.server.disconnectSockets();
  check(`${by}: all are sent away`, (await Promise.all(left)).every((why) => why === "io server disconnect"));
  for (const { name, heard } of [anna, bert, carl]) await store.rpush(`${by}: ${name}`, heard);
  for (const { server } of [one, two]) await server.close();
  await until(async () => (await channels()) + (await store.pubsub("NUMPAT")) === 0);
}

async function main() {
  const store = new Redis(place);
  await chat("PUBLISH", createAdapter, { requestsTimeout: patience }, 4, store);
  await chat("SPUBLISH", createShardedAdapter, { subscriptionMode: "static" }, 3, store);
  finish();
}
main().catch(finish);
