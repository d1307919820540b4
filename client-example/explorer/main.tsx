import './workers.ts';
import '@graphiql/react/style.css';
import '@graphiql/plugin-doc-explorer/style.css';
import '@graphiql/plugin-history/style.css';
import 'graphiql/graphiql.css';
import './explorer.css';
import { createRoot } from 'react-dom/client';
import { Explorer } from './Explorer.tsx';
import { parseConfig, type Config } from '../src/identity/identities.ts';

async function loadConfig(): Promise<Config> {
  // Beside the folder that this very script was loaded from, so the page may live at any address.
  const url = new URL(/* @vite-ignore */ '../config.json', import.meta.url).href;
  const response = await fetch(url, { cache: 'no-store' });
  if (!response.ok) throw new Error(`config.json: the server answered ${response.status} ${response.statusText}`);
  return parseConfig(await response.json(), url);
}

const root = createRoot(document.getElementById('explorer')!);
try {
  root.render(<Explorer {...await loadConfig()} />);
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  root.render(
    <div className="message" role="alert">
      <p><strong>The explorer could not read its settings.</strong> {reason}</p>
      <p>Check that the server is running, then <a href="">load the page again</a>.</p>
    </div>,
  );
}
