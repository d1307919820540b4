import { GraphiQL } from 'graphiql';
import { useEffect, useMemo, useState } from 'react';
import { createFetcher } from './fetcher.ts';
import { IdentityPicker, TokenForm } from '../src/identity/IdentityPicker.tsx';
import { loadChoice, saveChoice, tokenOf, type Choice, type Config } from '../src/identity/identities.ts';
import { EXAMPLE_TABS } from './tabs.ts';
import bell from '../src/bell.svg';

export function Explorer({ endpoint, identities }: Config) {
  const [choice, setChoice] = useState(() => loadChoice(sessionStorage, identities));
  const token = tokenOf(choice, identities);
  // A new fetcher makes GraphiQL introspect again, with the new token.
  const { fetcher, close } = useMemo(() => createFetcher({ endpoint, token }), [endpoint, token]);
  useEffect(() => close, [close]);

  function change(next: Choice) {
    setChoice(next);
    saveChoice(sessionStorage, next);
  }

  return (
    <>
      <header>
        <h1><img src={bell} alt="" width="24" height="24" /> Division Bell <span>API explorer</span></h1>
        <IdentityPicker identities={identities} choice={choice} onChange={change} />
      </header>
      {choice.name === null && <TokenForm choice={choice} onChange={change} />}
      <main>
        <GraphiQL
          fetcher={fetcher}
          // Without a token there is nothing to ask: null keeps GraphiQL from introspecting.
          {...(token === null ? { schema: null } : {})}
          defaultTabs={EXAMPLE_TABS}
          shouldPersistHeaders={false}
        >
          <GraphiQL.Logo>{' '}</GraphiQL.Logo>
        </GraphiQL>
      </main>
    </>
  );
}
