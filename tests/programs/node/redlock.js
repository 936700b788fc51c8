// redlock, unmodified, with ioredis beneath: redlock.js PORT DATABASE
const Redis = require("ioredis").Redis;
const { using } = require("bluebird"); // redlock's own promises
const Redlock = require("redlock");
const { check, finish, until } = require("./check.js")("redlock");

const options = { host: "127.0.0.1", port: Number(process.argv[2]), db: Number(process.argv[3]) };

async function main() {
  const clients = Array.from({ length: 8 }, () => new Redis(options));
  const eager = clients.map((client) => new Redlock([client], { retryCount: 0 }));
  const patient = clients.map((client) => new Redlock([client], { retryCount: -1, retryDelay: 3, retryJitter: 3 }));
  const refused = (promise) => promise.then(() => false, (error) => error.name === "LockError");

  let lock = await eager[0].lock("resource", 60000);
  check("a lock is taken", (await clients[1].get("resource")) === lock.value);
  check("nobody else takes it", await refused(eager[1].lock("resource", 60000)));
  lock = await lock.extend(120000);
  check("it is extended", (await clients[1].pttl("resource")) > 60000);
  await lock.unlock();
  check("it is released", (await clients[1].exists("resource")) === 0);
  const pair = await eager[0].lock(["left", "right"], 60000);
  check("two resources are one lock", await refused(eager[1].lock(["right", "other"], 60000)) && (await clients[0].exists("other")) === 0);
  await pair.unlock();

  const lost = await patient[0].lock("brief", 100); // on a slow machine it has run out when it is there: once more then
  await until(async () => (await clients[0].exists("brief")) === 0);
  const next = await eager[1].lock("brief", 60000);
  check("a lock that ran out isn't extended", await refused(lost.extend(60000)));
  check("nor does it release its successor's", await refused(lost.unlock()) && (await clients[0].get("brief")) === next.value);
  await next.unlock();

  // What only a lock protects: each reads a number and writes the next one.
  let inside = 0, most = 0;
  await Promise.all(patient.map(async (each, i) => {
    for (let n = 0; n < 25; n++) {
      const held = await each.lock("counter's lock", 60000);
      most = Math.max(most, ++inside);
      await clients[i].set("counter", Number(await clients[i].get("counter")) + 1);
      inside--;
      await held.unlock();
    }
  }));
  check("one at a time is inside", most === 1);
  check("eight lose no increment", (await clients[0].get("counter")) === "200");

  let ran = false;
  await using(eager[0].disposer("disposed", 60000), () => (ran = true));
  check("a disposer releases", ran && (await clients[0].exists("disposed")) === 0);
  await eager[0].lock(["stays", "stays as well"], 3600000);
  clients.forEach((client) => client.disconnect());
  finish();
}
main().catch(finish);
