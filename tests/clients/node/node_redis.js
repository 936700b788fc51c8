// node-redis, unmodified: node_redis.js PORT UNIXSOCKET [CA]; by TLS with whom that file certifies
const fs = require("fs");
const { createClient } = require("redis");

let passed = 0, failed = 0;
const how = process.argv[4] ? " by TLS" : "";
function check(name, condition) {
  condition ? passed++ : failed++;
  console.log(`${condition ? "ok" : "not ok"} - node-redis${how}: ${name}`);
}

async function main() {
  const tls = process.argv[4] ? { tls: true, ca: fs.readFileSync(process.argv[4]) } : {};
  const options = { socket: { host: "127.0.0.1", port: Number(process.argv[2]), reconnectStrategy: () => 10, ...tls } };
  const client = createClient(options);
  client.on("error", () => {}); // a cut connection is announced here, then made anew
  await client.connect();
  await client.flushAll();
  check("ping", (await client.ping()) === "PONG");
  await client.set("k", "v", { EX: 100 });
  check("set and get", (await client.get("k")) === "v");
  check("ttl", (await client.ttl("k")) > 0);
  check("get option", (await client.set("k", "w", { GET: true })) === "v");
  await client.mSet({ a: "1", b: "2" });
  check("mget", JSON.stringify(await client.mGet(["a", "b", "c"])) === JSON.stringify(["1", "2", null]));
  const answers = await Promise.all(Array.from({ length: 1000 }, (_, i) => client.set(`n${i}`, `${i}`).then(() => client.get(`n${i}`))));
  check("1000 pipelined by themselves", answers.every((value, i) => value === `${i}`));
  for (const [name, socket] of [["TCP", options.socket], ["a unix socket", { path: process.argv[3] }]]) {
    const by = createClient({ socket });
    await by.connect();
    const value = "v".repeat(1024);
    const large = await Promise.all(Array.from({ length: 20000 }, (_, i) => (i % 2 ? by.get("large") : by.set("large", value))));
    check(`20000 pipelined by themselves with 1 KB each by ${name}`, large.every((answer, i) => answer === (i % 2 ? value : "OK")));
    await by.quit();
  }
  const keys = new Set();
  for await (const key of client.scanIterator({ MATCH: "n*", COUNT: 50 })) keys.add(key);
  check("scan", keys.size === 1000);
  check("an error rejects", await client.incr("k").then(() => false, (error) => /not an integer/.test(error.message)));
  const id = await client.sendCommand(["CLIENT", "ID"]);
  const other = createClient(options);
  await other.connect();
  const back = new Promise((resolve) => client.once("ready", resolve));
  await other.sendCommand(["CLIENT", "KILL", "ID", String(id)]);
  await back;
  check("reconnects after it was killed", (await client.get("a")) === "1");
  check("buffers", Buffer.isBuffer(await client.get(require("redis").commandOptions({ returnBuffers: true }), "a")));
  const listener = client.duplicate();
  listener.on("error", () => {});
  await listener.connect();
  const heard = [];
  let awaited = 0, wake;
  const hear = (how) => (message, channel) => (heard.push(`${how} ${channel}: ${message}`), heard.length === awaited && wake());
  const hears = (n) => new Promise((resolve) => (heard.length >= n ? resolve() : ((awaited = n), (wake = resolve))));
  await listener.subscribe(["news", "weather"], hear("by name"));
  await listener.pSubscribe("n*", hear("by pattern"));
  await listener.sSubscribe("shard", hear("by shard"));
  const counts = await Promise.all([...Array.from({ length: 100 }, (_, i) => client.publish("news", `${i}`)), client.sPublish("shard", "last")]);
  await hears(201);
  const expected = Array.from({ length: 100 }, (_, i) => [`by name news: ${i}`, `by pattern news: ${i}`]).flat();
  check("subscribes", counts.join() === [...Array(100).fill(2), 1].join() && heard.join() === [...expected, "by shard shard: last"].join());
  const again = new Promise((resolve) => listener.once("ready", resolve));
  await client.sendCommand(["CLIENT", "KILL", "TYPE", "pubsub"]);
  await again;
  await client.publish("weather", "sun");
  await hears(202);
  check("subscribes anew after it was killed", heard[201] === "by name weather: sun");
  await listener.disconnect();
  await client.aclSetUser("reader", ["reset", "on", ">p", "~a*", "+@read"]);
  const reader = createClient({ ...options, username: "reader", password: "p" });
  await reader.connect();
  const refused = (promise, words) => promise.then(() => false, (error) => error.message.includes(words));
  check("a user is let in by its name and password", (await reader.get("a")) === "1");
  check("a denied command rejects", await refused(reader.set("a", "2"), "NOPERM User reader has no permissions to run the 'set' command"));
  check("a denied key rejects", await refused(reader.get("k"), "NOPERM No permissions to access a key"));
  const wrong = createClient({ ...options, username: "reader", password: "q", socket: { ...options.socket, reconnectStrategy: false } });
  wrong.on("error", () => {});
  check("a wrong password rejects", await refused(wrong.connect(), "WRONGPASS"));
  check("what a user may do is read", (await client.aclGetUser("reader")).keys === "~a*");
  await reader.quit();
  await client.aclDelUser("reader");
  await client.quit();
  await other.quit();
  console.log(`node-redis: ${passed} passed, ${failed} failed`);
  process.exit(failed || !passed ? 1 : 0);
}
main().catch((error) => { console.log(`not ok - node-redis: ${error.stack}`); process.exit(1); });
