import assert from 'node:assert/strict';
import test from 'node:test';
import { cleanToken, loadChoice, parseConfig, saveChoice, tokenOf, type Identity } from './identities.ts';

const READER: Identity = { name: 'Reader', description: 'reads', token: 'tok-reader' };
const EDITOR: Identity = { name: 'Editor', description: 'publishes', token: 'tok-editor' };

function memory(entries: Record<string, string> = {}) {
  const map = new Map(Object.entries(entries));
  return { getItem: (key: string) => map.get(key) ?? null, setItem: (key: string, value: string) => void map.set(key, value) };
}

const forbidden = {
  getItem(): never { throw new Error('denied'); },
  setItem(): never { throw new Error('denied'); },
};

test('the first visit takes the first identity on offer', () => {
  const choice = loadChoice(memory(), [READER, EDITOR]);
  assert.equal(choice.name, 'Reader');
  assert.equal(tokenOf(choice, [READER, EDITOR]), 'tok-reader');
});

test('without identities there is no token until one is pasted', () => {
  const choice = loadChoice(memory(), []);
  assert.equal(choice.name, null);
  assert.equal(tokenOf(choice, []), null);
  assert.equal(tokenOf({ ...choice, pasted: 'mine' }, []), 'mine');
});

test('a choice survives a reload of the page', () => {
  const store = memory();
  for (const choice of [{ name: 'Editor', pasted: '' }, { name: null, pasted: 'mine' }, { name: null, pasted: '' }]) {
    saveChoice(store, choice);
    assert.deepEqual(loadChoice(store, [READER, EDITOR]), choice);
  }
});

test('an identity that is no longer on offer gives way to one that is', () => {
  const store = memory();
  saveChoice(store, { name: 'Editor', pasted: '' });
  assert.deepEqual(loadChoice(store, [READER]), { name: 'Reader', pasted: '' });
});

test('a browser without storage still lets a choice be made', () => {
  assert.equal(loadChoice(forbidden, [READER]).name, 'Reader');
  assert.doesNotThrow(() => saveChoice(forbidden, { name: null, pasted: 'mine' }));
});

test('what comes along with a copied token is dropped', () => {
  for (const pasted of ['a.b.c', ' a.b.c\n', 'Bearer a.b.c', 'Authorization: bearer a.b.c', '"a.b.\nc"']) {
    assert.equal(cleanToken(pasted), 'a.b.c');
  }
});

test('the endpoint is relative to the settings that name it', () => {
  const config = parseConfig({ endpoint: '../graphql', identities: [READER] }, 'http://host/bell/graphiql/config.json');
  assert.deepEqual(config, { endpoint: 'http://host/bell/graphql', identities: [READER], demo: { speed: 1, faults: [] } });
});

test('settings of another shape are refused by name', () => {
  const url = 'http://host/config.json';
  assert.throws(() => parseConfig(null, url), /endpoint/);
  assert.throws(() => parseConfig({ endpoint: '/graphql' }, url), /identities/);
  assert.throws(() => parseConfig({ endpoint: '/graphql', identities: [{ name: 'Reader' }] }, url), /token/);
});

test('what the demo offers is taken as far as it is understood', () => {
  const read = (demo: unknown) => parseConfig({ endpoint: '/graphql', identities: [], demo }, 'http://host/config.json').demo;
  assert.deepEqual(read({ speed: 6, faults: ['stall', 3] }), { speed: 6, faults: ['stall'] });
  assert.deepEqual(read({ speed: 0, faults: 'all' }), { speed: 1, faults: [] });
});
