// Four attempts, with 429 and the transient 5xx tried again after twice the last wait. What the last
// attempt was answered is the answer; an attempt that gets none ends it.
import { attempt, end, outcome, pause, scaled } from './client.mjs';

export async function callWithBackoff(run) {
  let wait = 500;
  for (let number = 1; ; number += 1) {
    const response = await run();
    const transient = [429, 502, 503, 504].includes(response.status);
    if (response.ok || !transient || number === 4) return response;
    await pause(scaled(wait));
    wait *= 2;
  }
}

// All orders at once.
async function main() {
  const { KEY, ORDER_ID, ORDERS } = process.env;
  const report = (order) => {
    const body = JSON.stringify({
      event_name: 'sale',
      nim_ct: 'of-a-cart',
      custom_data: { order_id: order, value: '129.90', currency: 'USD' },
    });
    const headers = KEY ? { 'Idempotency-Key': KEY } : {};
    return outcome(order, () => callWithBackoff(() => attempt(order, '/api/v1/conversions', body, headers)));
  };
  const done = await Promise.all((ORDERS ?? ORDER_ID).split(' ').map(report));
  end(done.every(Boolean));
}

if (process.argv[1].endsWith('/backoff.mjs')) await main();
