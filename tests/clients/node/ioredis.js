// ioredis, unmodified: ioredis.js PORT [CA]; by TLS with whom that file certifies
const fs = require("fs");
const Redis = require("ioredis");

let passed = 0, failed = 0;
const how = process.argv[3] ? " by TLS" : "";
function check(name, condition) {
  condition ? passed++ : failed++;
  console.log(`${condition ? "ok" : "not ok"} - ioredis${how}: ${name}`);
}

async function main() {
  const port = Number(process.argv[2]);
  const tls = process.argv[3] ? { tls: { ca: fs.readFileSync(process.argv[3]) } } : {};
  const client = new Redis({ host: "127.0.0.1", port, retryStrategy: () => 10, ...tls });
  client.on("error", () => {});
  await client.flushall();
  check("ping", (await client.ping()) === "PONG");
  check("set and get", (await client.set("k", "v", "PX", 60000)) === "OK" && (await client.get("k")) === "v");
  check("pttl", (await client.pttl("k")) > 0);
  const pipeline = client.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`i${i}`, i).incrby(`i${i}`, 1000);
  const answers = await pipeline.exec();
  check("pipeline of 1000", answers.length === 1000 && answers.every(([error]) => error === null) && answers[999][1] === 1499);
  const keys = new Set();
  for await (const page of client.scanStream({ match: "i*", count: 100 })) page.forEach((key) => keys.add(key));
  check("scanStream", keys.size === 500);
  check("an error rejects", await client.incr("k").then(() => false, (error) => /not an integer/.test(error.message)));
  check("buffers", (await client.getBuffer("i1")).equals(Buffer.from("1001")));
  const monitor = await client.monitor();
  const seen = new Promise((resolve) => monitor.on("monitor", (time, args) => args[0] === "echo" && resolve(args[1])));
  await client.echo("watched");
  check("monitor", (await seen) === "watched");
  monitor.disconnect();
  const id = await client.client("ID");
  const back = new Promise((resolve) => client.once("ready", resolve));
  const other = new Redis({ host: "127.0.0.1", port, ...tls });
  await other.client("KILL", "ID", id);
  await back;
  check("reconnects after it was killed", (await client.get("i2")) === "1002");
  const listener = new Redis({ host: "127.0.0.1", port, retryStrategy: () => 10, ...tls });
  listener.on("error", () => {});
  check("subscribes", (await listener.subscribe("news", "weather")) === 2 && (await listener.psubscribe("n*")) === 3);
  const heard = [];
  const all = new Promise((resolve) => {
    const hear = (...what) => heard.push(what.join(" ")) === 200 && resolve();
    listener.on("message", hear);
    listener.on("pmessage", hear);
  });
  const told = client.multi();
  for (let i = 0; i < 100; i++) told.publish("news", i);
  await told.exec();
  await all;
  check("hears by name and by pattern, in order", heard.join() === Array.from({ length: 100 }, (_, i) => [`news ${i}`, `n* news ${i}`]).flat().join());
  // It says "ready" before it has subscribed anew.
  await client.client("KILL", "TYPE", "pubsub");
  const again = new Promise((resolve) => listener.once("message", (channel, message) => resolve(`${channel} ${message}`)));
  while ((await client.publish("weather", "sun")) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  check("subscribes anew after it was killed", (await again) === "weather sun");
  listener.disconnect();
  await client.acl("SETUSER", "reader", "reset", "on", ">p", "~i*", "+@read", "+info");
  const reader = new Redis({ host: "127.0.0.1", port, username: "reader", password: "p", ...tls });
  const refused = (promise, words) => promise.then(() => false, (error) => error.message.includes(words));
  check("a user is let in by its name and password", (await reader.get("i2")) === "1002");
  check("a denied command rejects", await refused(reader.set("i2", 1), "NOPERM User reader has no permissions to run the 'set' command"));
  check("a denied key rejects", await refused(reader.get("k"), "NOPERM No permissions to access a key"));
  const wrong = new Redis({ host: "127.0.0.1", port, username: "reader", password: "q", retryStrategy: null, maxRetriesPerRequest: 0, ...tls });
  const said = new Promise((resolve) => wrong.on("error", (error) => resolve(error.message)));
  wrong.get("i2").catch(() => {});
  check("a wrong password is told", (await said).includes("WRONGPASS"));
  wrong.disconnect();
  reader.disconnect();
  await client.acl("DELUSER", "reader");
  client.disconnect();
  other.disconnect();
  console.log(`ioredis: ${passed} passed, ${failed} failed`);
  process.exit(failed || !passed ? 1 : 0);
}
main().catch((error) => { console.log(`not ok - ioredis: ${error.stack}`); process.exit(1); });
