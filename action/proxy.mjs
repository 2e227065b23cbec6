// SPDX-License-Identifier: 0BSD
// The runner's proxy: fetch of Node.js uses the one of the environment only if it is told to.
// Source: https://nodejs.org/docs/latest-v24.x/api/http.html#built-in-proxy-support
import { spawnSync } from 'node:child_process';
import * as http from 'node:http';
import { Failure } from './runner.mjs';

const NAMES = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy'];

/** Use it from now on, if there is one. */
export function useProxy() {
  if (!isNamed()) return;
  try {
    http.setGlobalProxyFromEnv?.();
  } catch {
    throw new Failure(
      'HTTPS_PROXY or HTTP_PROXY of this runner is no address of a proxy such as http://proxy.example:3128.',
    );
  }
}

/** Older releases of Node.js 24 have to be told at their start: then this step is run by another one, to its end. */
export function isRunAnew() {
  if (!isNamed() || http.setGlobalProxyFromEnv || process.env.NODE_USE_ENV_PROXY) return false;
  const env = { ...process.env, NODE_USE_ENV_PROXY: '1' };
  const { status } = spawnSync(process.execPath, process.argv.slice(1), { env, stdio: 'inherit' });
  process.exitCode = status ?? 1;
  return true;
}

function isNamed() {
  return NAMES.some((name) => process.env[name]);
}
