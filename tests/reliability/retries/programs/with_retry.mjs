// Up to five repeats on the five transient statuses, with full jitter over what Retry-After says,
// else over a doubling wait. With PACE it slows down before there is nothing left to spend.
import { attempt, end, outcome, pause, random, scaled } from './client.mjs';

const transient = new Set([429, 500, 502, 503, 504]);

async function withRetry(call, repeats = 5) {
  for (let number = 0; ; number += 1) {
    const response = await call();
    if (response.ok || !transient.has(response.status) || number >= repeats) return response;
    const seconds = Number(response.headers.get('retry-after'));
    const guided = Number.isFinite(seconds) && seconds > 0;
    const most = guided ? seconds * 1000 : scaled(Math.min(1000 * 2 ** number, 20_000));
    await pause(random() * most);
  }
}

async function pace(response) {
  const remaining = response.headers.get('x-ratelimit-remaining');
  const reset = Number(response.headers.get('x-ratelimit-reset'));
  if (remaining !== null && Number(remaining) === 0) await pause(Math.max(0, reset * 1000 - Date.now()));
}

const { KEY, ORDER_ID, ORDERS, PACE } = process.env;
let done = true;
for (const order of (ORDERS ?? ORDER_ID).split(' ')) {
  const body = JSON.stringify({ event_name: 'lead', external_id: order });
  const headers = KEY ? { 'Idempotency-Key': KEY } : {};
  const call = async () => {
    const response = await attempt(order, '/api/v1/conversions', body, headers);
    if (PACE) await pace(response);
    return response;
  };
  done = (await outcome(order, () => withRetry(call))) && done;
}
end(done);
