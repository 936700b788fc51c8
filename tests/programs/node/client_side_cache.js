// node-redis's cache on the client's side, unmodified: client_side_cache.js PORT DATABASE
//
// What another client has been answered "OK" for is not read from the cache any more once a PING has been answered.
const { createClient, BasicClientSideCache } = require("redis");
const { check, finish } = require("./check.js")("client-side-cache");

const place = { socket: { host: "127.0.0.1", port: Number(process.argv[2]) }, database: Number(process.argv[3]) };

async function main() {
  const cache = new BasicClientSideCache({ ttl: 0, maxEntries: 0, evictPolicy: "LRU" });
  const client = await createClient({ ...place, RESP: 3, clientSideCache: cache }).connect();
  const writer = await createClient({ ...place, RESP: 3 }).connect();
  await writer.set("k", "0");
  const first = [await client.get("k"), await client.get("k"), await client.get("k")];
  check("what was read once is read from the cache", first.every((value) => value === "0") && cache.stats().hitCount === 2);
  let stale = 0;
  for (let i = 1; i <= 1000; i++) {
    await writer.set("k", `${i}`);
    await client.ping();
    if ((await client.get("k")) !== `${i}`) stale++;
  }
  check("what another one has written is read anew, a thousand times", stale === 0);
  await writer.hSet("h", { a: "1", b: "2" });
  const before = await client.hGetAll("h");
  await writer.hDel("h", "a");
  await client.ping();
  check("and what was taken out of a hash is gone", before.a === "1" && Object.keys(await client.hGetAll("h")).join() === "b");
  await Promise.all(Array.from({ length: 200 }, (_, i) => writer.set(`many:${i}`, "v")));
  await Promise.all(Array.from({ length: 200 }, (_, i) => client.get(`many:${i}`)));
  const kept = cache.size();
  await writer.flushDb();
  await client.ping();
  check("a flush empties the cache", kept >= 200 && cache.size() === 0 && (await client.get("k")) === null);
  await writer.set("left", "behind");
  await Promise.all([client.close(), writer.close()]);
}
main().then(() => finish(), finish);
