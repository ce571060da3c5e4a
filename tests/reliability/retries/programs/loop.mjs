// A loop of five attempts with one key and one body for all of them. Network errors, 409 and 5xx
// are tried again; everything else is the answer.
import { attempt, end, outcome, pause, random, scaled } from './client.mjs';

const env = process.env;

function backoff(number) {
  const ms = Math.min(1000 * 2 ** (number - 1), 8000);
  return pause(scaled(ms + random() * 250));
}

export async function report(order, path, key, body) {
  const last = 5;
  for (let number = 1; number <= last; number += 1) {
    let response;
    try {
      response = await attempt(order, path, body, {
        ...(key && { 'X-Idempotency-Key': typeof key === 'function' ? key() : key }),
        ...(env.EXTERNAL_EVENT_ID && { 'X-External-Event-Id': env.EXTERNAL_EVENT_ID }),
      });
    } catch {
      await backoff(number);
      continue;
    }
    if (response.status === 409 || response.status >= 500) {
      await backoff(number);
      continue;
    }
    return response;
  }
  throw new Error('not confirmed by the last attempt');
}

export const conversion = (order) =>
  JSON.stringify({ externalOrderId: order, clickId: 'clk_abc', amount: 4999, currency: 'NPR' });

if (process.argv[1].endsWith('/loop.mjs')) {
  const order = env.ORDER_ID;
  const path = env.ENDPOINT ?? '/api/v1/conversions';
  // What callers are told not to do: it must do no harm either.
  const key = env.KEY_PER_ATTEMPT ? () => `${order}-${random()}` : env.KEY;
  end(await outcome(order, () => report(order, path, key, env.BODY ?? conversion(order))));
}
