// An import job: small ordered batches, each row with its own name and key, and a job log of what
// became of each. Rows that failed or were interrupted, and only they, are run again: up to PASSES
// times, and whenever the job is started again with its log.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { attempt, end, outcome, pause, scaled } from './client.mjs';
import { callWithBackoff } from './backoff.mjs';

const { ROWS, JOB_LOG, BATCH = '10', PASSES = '4', KEYLESS } = process.env;

const rows = JSON.parse(readFileSync(ROWS, 'utf8'));
const log = readLog();

function readLog() {
  try {
    return JSON.parse(readFileSync(JOB_LOG, 'utf8'));
  } catch {
    return {};
  }
}

// Written whole beside the old one, which it then replaces.
function saveLog() {
  writeFileSync(`${JOB_LOG}.new`, JSON.stringify(log));
  renameSync(`${JOB_LOG}.new`, JOB_LOG);
}

const isOpen = (row) => !['ACCEPTED', 'DUPLICATE'].includes(log[row.id]?.status);

async function importBatch(batch) {
  const body = JSON.stringify({
    rows: batch.map((row) => ({
      client_row_id: row.id,
      ...(!KEYLESS && { idempotency_key: `import-7-${row.id}` }),
      ...row.event,
    })),
  });
  for (const row of batch) log[row.id] = { ...log[row.id], status: 'interrupted' };
  saveLog();
  const response = await callWithBackoff(() => attempt(batch[0].id, '/api/v1/conversions/bulk', body));
  if (response.status !== 200) throw new Error(`answered ${response.status}`);
  for (const { client_row_id: id, status, event_id, idempotent, problem } of (await response.json()).results) {
    const runs = (log[id].runs ?? 0) + 1;
    log[id] = { status, event_id, idempotent, code: problem?.code, retryable: problem?.retryable, runs };
  }
  saveLog();
}

for (let pass = 1; pass <= Number(PASSES); pass += 1) {
  const interrupted = rows.filter((row) => isOpen(row) && (pass === 1 || log[row.id].status === 'interrupted'));
  for (let at = 0; at < interrupted.length; at += Number(BATCH)) {
    try {
      await importBatch(interrupted.slice(at, at + Number(BATCH)));
    } catch {
      await pause(scaled(500 * 2 ** pass));
    }
  }
}
for (const row of rows) {
  await outcome(row.id, async () => Response.json(log[row.id], { status: isOpen(row) ? 422 : 200 }));
}
end(!rows.some(isOpen));
