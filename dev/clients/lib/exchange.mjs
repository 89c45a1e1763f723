// WHIP's and WHEP's HTTP side for clients that are not browsers.
import { emit, fail } from './terms.mjs';

/**
 * Posts an offer and returns `{answer, location, etag}`. A refusal becomes the event `refused`
 * with status and body, and ends the client.
 */
export async function post(url, offer, token) {
  const headers = { 'content-type': 'application/sdp' };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(url, { method: 'POST', headers, body: offer });
  const body = await response.text();
  if (response.status !== 201) {
    emit('refused', { status: response.status, body });
    fail(`${url} answered ${response.status}: ${body}`);
  }
  const location = response.headers.get('location');
  const etag = response.headers.get('etag');
  emit('answered', { location, etag });
  return { answer: body, location, etag };
}

/** Ends the session; returns the status of the answer. */
export async function remove(location, token) {
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  return (await fetch(location, { method: 'DELETE', headers })).status;
}

/** Makes `address` (host:port) the answer's only candidate: the way through a relay. */
export function throughRelay(sdp, address) {
  if (!address) return sdp;
  const [host, port] = address.split(':');
  const kept = sdp.split(/\r?\n/).filter((line) => !line.startsWith('a=candidate:'));
  const candidate = `a=candidate:1 1 udp 2130706431 ${host} ${port} typ host`;
  const sections = kept.join('\r\n').split(/(?=^m=)/m);
  return sections
    .map((section, index) => (index === 0 ? section : `${section.trimEnd()}\r\n${candidate}\r\n`))
    .join('');
}

/** Leaves the candidates of one transport (`udp` or `tcp`) in an answer. */
export function onlyTransport(sdp, transport) {
  if (!transport) return sdp;
  const candidate = /^a=candidate:\S+ \d+ (\S+) /;
  return sdp
    .split(/\r?\n/)
    .filter((line) => (candidate.exec(line)?.[1] ?? transport).toLowerCase() === transport)
    .join('\r\n');
}
