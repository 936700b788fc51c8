// rate-limiter-flexible, unmodified, with ioredis and node-redis beneath: rate_limiter_flexible.js PORT DATABASE
const { Redis } = require("ioredis");
const { createClient } = require("redis");
const { RateLimiterRedis, BurstyRateLimiter, RateLimiterQueue, RateLimiterUnion } = require("rate-limiter-flexible");
const { check, finish } = require("./check.js")("rate-limiter-flexible");

const port = Number(process.argv[2]), database = Number(process.argv[3]);

async function main() {
  const ioredis = new Redis({ host: "127.0.0.1", port, db: database, enableOfflineQueue: false });
  await new Promise((resolve) => ioredis.once("ready", resolve));
  const node = createClient({ socket: { host: "127.0.0.1", port }, database });
  await node.connect();
  const refused = (promise) => promise.then(() => null, (answer) => answer);

  for (const [name, storeClient, useRedisPackage] of [["ioredis", ioredis, false], ["node-redis", node, true]]) {
    const limiter = new RateLimiterRedis({ storeClient, useRedisPackage, keyPrefix: name, points: 10, duration: 3600, blockDuration: 7200 });
    const answers = await Promise.allSettled(Array.from({ length: 25 }, () => limiter.consume("many")));
    check(`${name}: 10 of 25 at once pass`, answers.filter((each) => each.status === "fulfilled").length === 10);
    const over = await refused(limiter.consume("many"));
    check(`${name}: who is over the limit is blocked for longer`, over.remainingPoints === 0 && over.msBeforeNext > 3600000);
    const some = await limiter.consume("some", 4);
    check(`${name}: what remains`, some.remainingPoints === 6 && some.consumedPoints === 4 && some.isFirstInDuration);
    check(`${name}: penalty and reward`, (await limiter.penalty("some", 3)).consumedPoints === 7 && (await limiter.reward("some", 2)).consumedPoints === 5);
    check(`${name}: get`, (await limiter.get("some")).consumedPoints === 5 && (await limiter.get("none")) === null);
    await limiter.block("blocked", 3600);
    check(`${name}: block`, (await refused(limiter.consume("blocked"))).consumedPoints === 12);
    await limiter.set("given", 9, 0);
    check(`${name}: set`, (await limiter.consume("given")).consumedPoints === 10 && (await refused(limiter.consume("given"))) !== null);
    await limiter.consume("deleted");
    check(`${name}: delete`, (await limiter.delete("deleted")) && !(await limiter.delete("deleted")));

    const brief = new RateLimiterRedis({ storeClient, useRedisPackage, keyPrefix: `${name} brief`, points: 1, duration: 1 });
    await brief.consume("a");
    const wait = (await refused(brief.consume("a"))).msBeforeNext;
    await new Promise((resolve) => setTimeout(resolve, wait + 5));
    check(`${name}: a window ends`, (await brief.consume("a")).consumedPoints === 1);
    await brief.delete("a");

    const burst = new BurstyRateLimiter(
      new RateLimiterRedis({ storeClient, useRedisPackage, keyPrefix: `${name} steady`, points: 2, duration: 3600 }),
      new RateLimiterRedis({ storeClient, useRedisPackage, keyPrefix: `${name} burst`, points: 3, duration: 7200 }));
    let passed = 0;
    for (let i = 0; i < 8; i++) await burst.consume("b").then(() => passed++, () => {});
    check(`${name}: a burst`, passed === 5);
  }
  const queue = new RateLimiterQueue(new RateLimiterRedis({ storeClient: ioredis, keyPrefix: "queue", points: 5, duration: 3600 }));
  check("a queue lets pass", (await Promise.all([1, 2, 3].map(() => queue.removeTokens(1)))).length === 3);
  const union = new RateLimiterUnion(...[3, 30].map((points) => new RateLimiterRedis({ storeClient: ioredis, keyPrefix: `union ${points}`, points, duration: 3600 })));
  for (let i = 0; i < 3; i++) await union.consume("u");
  check("a union stops where its narrowest does", (await refused(union.consume("u")))["union 3"].remainingPoints === 0);
  finish();
}
main().catch(finish);
