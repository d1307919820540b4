// Node's BroadcastChannel is a real one; Web Locks, which Node 20 has not, are queued here.
import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { joinTabs, type Tabs } from './tabs.ts';

/** One lock of one name. */
class QueuedLocks {
  private readonly waiting: (() => Promise<void>)[] = [];
  private held = false;

  request = ((_: string, { signal }: LockOptions, turn: () => Promise<void>) =>
    new Promise<void>((resolve, reject) => {
      const run = async () => {
        this.held = true;
        await turn();
        this.held = false;
        resolve();
        void this.waiting.shift()?.();
      };
      signal?.addEventListener('abort', () => {
        const at = this.waiting.indexOf(run);
        if (at >= 0) reject(this.waiting.splice(at, 1));
      });
      if (this.held) this.waiting.push(run);
      else queueMicrotask(() => (this.held ? this.waiting.push(run) : void run()));
    })) as LockManager['request'];
}

/** Tabs that share a browser, and which of them leads. */
function browser(context: TestContext) {
  const locks = new QueuedLocks();
  const leading: boolean[] = [];
  const heard: unknown[][] = [];
  const open = (visible: boolean): Tabs => {
    const index = leading.push(false) - 1;
    heard.push([]);
    const listener = {
      onLeader: (leader: boolean) => void (leading[index] = leader),
      onMessage: (message: unknown) => void heard[index]!.push(message),
    };
    const tabs = joinTabs(context.name, listener, locks);
    tabs.setVisible(visible);
    context.after(() => tabs.close());
    return tabs;
  };
  const until = async (...wanted: boolean[]) => {
    while (leading.join() !== wanted.join()) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  return { open, until, heard };
}

test('one tab leads, and the next one when it is closed', async (context) => {
  const { open, until } = browser(context);
  const first = open(true);
  await until(true);
  open(true);
  await until(true, false);
  first.close();
  await until(false, true);
});

test('a hidden leader gives way to a tab that is looked at, and leads again when that one is closed', async (context) => {
  const { open, until } = browser(context);
  const first = open(true);
  const second = open(true);
  await until(true, false);
  first.setVisible(false);
  await until(false, true);
  second.close();
  await until(true, false);
});

test('a tab that comes into view asks a hidden leader; one that is looked at keeps the lead', async (context) => {
  const { open, until, heard } = browser(context);
  const first = open(false);
  await until(true);
  const second = open(false);
  second.setVisible(true);
  await until(false, true);
  first.setVisible(true);
  first.tell({ kind: 'hello' }); // heard after the wish to lead
  while (heard[1]!.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await until(false, true);
});

test('a tab that is put aside does not lead, and waits for its turn when it is back', async (context) => {
  const { open, until } = browser(context);
  const first = open(true);
  const second = open(true);
  await until(true, false);
  first.release();
  await until(false, true);
  first.request();
  second.release();
  await until(true, false);
});

test('what one tab tells the others hear', async (context) => {
  const { open, heard } = browser(context);
  const first = open(true);
  open(true);
  first.tell({ kind: 'hello' });
  while (heard[1]!.length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual(heard, [[], [{ kind: 'hello' }]]);
});

test('without Web Locks every tab leads, and is not the only one to use its device', async () => {
  const leads = await new Promise<boolean>((resolve) => {
    const tabs = joinTabs('alone', { onLeader: resolve, onMessage: () => {} }, null);
    assert.equal(tabs.exclusive, false);
  });
  assert.equal(leads, true);
});
