// Many loops at once, each with one new order after the other until all of ORDERS are through.
import { end, outcome } from './client.mjs';
import { conversion, report } from './loop.mjs';

const { ORDERS, LOOPS, KEYS } = process.env;
const orders = ORDERS.split(' ');

async function loop() {
  let done = true;
  for (let order = orders.shift(); order; order = orders.shift()) {
    const key = KEYS && `${order}-conversion`;
    const run = () => report(order, '/api/v1/conversions', key, conversion(order));
    done = (await outcome(order, run)) && done;
  }
  return done;
}

const done = await Promise.all(Array.from({ length: Number(LOOPS) }, loop));
end(done.every(Boolean));
