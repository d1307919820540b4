import './activity-stream/react/ConnectionStatus.css';
import './page.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { App } from './App.tsx';
import { parseConfig, type Config } from './identity/identities.ts';

async function loadConfig(): Promise<Config> {
  const url = new URL('config.json', document.baseURI).href;
  const response = await fetch(url, { cache: 'no-store' });
  if (!response.ok) throw new Error(`config.json: the server answered ${response.status} ${response.statusText}`);
  return parseConfig(await response.json(), url);
}

// What happens comes by the stream: nothing is fetched again because a window was looked at.
const client = new QueryClient({
  defaultOptions: { queries: { refetchOnWindowFocus: false, refetchOnReconnect: false, staleTime: Infinity, retry: 2 } },
});
const root = createRoot(document.getElementById('page')!);
try {
  const config = await loadConfig();
  root.render(<QueryClientProvider client={client}><App config={config} reload={loadConfig} /></QueryClientProvider>);
} catch (error) {
  const reason = error instanceof Error ? error.message : String(error);
  root.render(
    <div className="empty" role="alert">
      <p><strong>The page could not read its settings.</strong> {reason}</p>
      <p>Check that the server is running, then <a href="">load the page again</a>.</p>
    </div>,
  );
}
