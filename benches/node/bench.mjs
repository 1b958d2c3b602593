// What a call costs through opossum and cockatiel: node bench.mjs FILE
//
// The least over many short rounds, as in the benches beside it. FILE gets them as rows of peers, as JSON.
import { writeFileSync } from 'node:fs';
import CircuitBreaker from 'opossum';
import { ConsecutiveBreaker, TimeoutStrategy, bulkhead, circuitBreaker, handleAll, timeout, wrap } from 'cockatiel';

const ROUNDS = 200;
const TURNS = 1_000;

async function least(one) {
  let nanos = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const began = process.hrtime.bigint();
    for (let turn = 0; turn < TURNS; turn++) await one(turn);
    nanos = Math.min(nanos, Number(process.hrtime.bigint() - began) / TURNS);
  }
  return nanos;
}

const ready = async (id) => id + 1;
const options = { timeout: 3000, errorThresholdPercentage: 50, resetTimeout: 30000 };

const called = new CircuitBreaker(ready, options);
const cached = new CircuitBreaker(ready, { ...options, cache: true, cacheTTL: 300_000 });
const open = new CircuitBreaker(ready, options);
open.fallback(() => 7);
open.open();
const policy = wrap(
  bulkhead(100, 100),
  circuitBreaker(handleAll, { halfOpenAfter: 30_000, breaker: new ConsecutiveBreaker(5) }),
  timeout(3000, TimeoutStrategy.Cooperative),
);

const rows = {
  call_ns: {
    'opossum fire': await least((turn) => called.fire(turn)),
    'cockatiel execute': await least((turn) => policy.execute(() => ready(turn))),
  },
  cache_hit_ns: { 'opossum hit': await least(() => cached.fire(1)) },
  rejection_ns: { 'opossum rejection': await least(() => open.fire(1)) },
};

// An idle breaker's memory and share of a core, as so many of them have it.
const IDLE = 10_000;
globalThis.gc?.();
const before = process.memoryUsage().heapUsed;
const idle = Array.from({ length: IDLE }, () => new CircuitBreaker(ready, options));
globalThis.gc?.();
rows.idle_bytes = { opossum: (process.memoryUsage().heapUsed - before) / IDLE };
const cpu = process.cpuUsage();
const began = process.hrtime.bigint();
await new Promise((done) => setTimeout(done, 2_000));
const used = process.cpuUsage(cpu);
const share = (used.user + used.system) * 1_000 / Number(process.hrtime.bigint() - began);
rows.idle_cpu = { [`opossum, ${IDLE} of them`]: share * 100 };

for (const breaker of [called, cached, open, ...idle]) breaker.shutdown();
writeFileSync(process.argv[2], JSON.stringify(rows));
