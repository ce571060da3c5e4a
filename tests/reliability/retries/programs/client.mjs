// What the programs share: settings from the environment, one signed attempt, waiting, reporting.
import { createHmac } from 'node:crypto';

const env = process.env;

// Numbers from 0 to 1 that are the same for the same SEED (mulberry32).
let state = Number(env.SEED ?? 1) >>> 0;
export function random() {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
}

// The documented waits are for the real world: SCALE shortens them.
const scale = Number(env.SCALE ?? 1);
export const scaled = (ms) => ms * scale;
export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// One attempt: signed anew, with the time of now. It is told on standard error.
export async function attempt(order, path, body, headers = {}) {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const signature = createHmac('sha256', env.CONVERSIOND_SECRET).update(`${timestamp}.${body}`).digest('hex');
  const tell = (what) => process.stderr.write(`attempt ${JSON.stringify({ order, ...what })}\n`);
  // Node ends when nothing but a pending fetch is left.
  const alive = setInterval(() => {}, 1000);
  try {
    const response = await fetch(env.CONVERSIOND_URL + path, {
      method: 'POST',
      headers: {
        'Content-Type': 'application/json',
        'X-API-Key': env.CONVERSIOND_KEY_ID,
        'X-Timestamp': timestamp,
        'X-Signature': signature,
        ...headers,
      },
      body,
      signal: env.TIMEOUT_MS ? AbortSignal.timeout(Number(env.TIMEOUT_MS)) : undefined,
    });
    tell({ status: response.status });
    return response;
  } catch (error) {
    tell({ error: String(error.cause?.code ?? error.cause?.message ?? error.name) });
    throw error;
  } finally {
    clearInterval(alive);
  }
}

// Tells on standard output what became of an order; whether it is done.
export async function outcome(order, run) {
  try {
    const response = await run();
    const told = { order, status: response.status, replayed: response.headers.get('idempotent-replayed') };
    // The status was the answer; a body that breaks off changes nothing of it.
    told.body = await response.text().catch(() => null);
    process.stdout.write(`${JSON.stringify(told)}\n`);
    return response.ok;
  } catch (error) {
    process.stdout.write(`${JSON.stringify({ order, error: error.message })}\n`);
    return false;
  }
}

// Ends when all that was written has gone out: 0 = everything is done, 1 = not.
export function end(done) {
  process.exitCode = done ? 0 : 1;
  process.stdout.write('', () => process.exit());
}
