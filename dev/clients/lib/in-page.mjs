// Functions that run inside a browser page. Each is sent there as text, so each stands alone.

/** Runs before the page's own scripts: remembers peer connections and playing elements. */
export function collect() {
  const state = { peers: [], elements: new Set() };
  globalThis.inverTest = state;
  /** One POST with every candidate; `inverTest.end` deletes the session. */
  state.exchange = async (peer, url, token) => {
    await peer.setLocalDescription();
    if (peer.iceGatheringState !== 'complete') {
      await new Promise((done) => {
        peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done();
      });
    }
    const authorization = token ? { authorization: `Bearer ${token}` } : {};
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/sdp', ...authorization },
      body: peer.localDescription.sdp,
    });
    const body = await response.text();
    if (response.status !== 201) return { refused: response.status, body };
    state.answered = performance.now();
    await peer.setRemoteDescription({ type: 'answer', sdp: body });
    const location = response.headers.get('location');
    state.end = async () => {
      const deleted = await fetch(location, { method: 'DELETE', headers: authorization });
      peer.close();
      return deleted.status;
    };
    /** Restarts ICE by PATCH (RFC 9725, 4.3.2); gives what the server answered. */
    state.restart = async () => {
      await peer.setLocalDescription(await peer.createOffer({ iceRestart: true }));
      const line = (sdp, name) => sdp.match(new RegExp(`a=${name}:\\S+`))[0];
      const ours = peer.localDescription.sdp;
      const fragment = [line(ours, 'ice-ufrag'), line(ours, 'ice-pwd'), ''].join('\r\n');
      const patched = await fetch(location, {
        method: 'PATCH',
        headers: {
          'content-type': 'application/trickle-ice-sdpfrag',
          'if-match': '*',
          ...authorization,
        },
        body: fragment,
      });
      const theirs = await patched.text();
      if (patched.status !== 200) return { status: patched.status, body: theirs };
      const sdp = body
        .replace(/a=ice-ufrag:\S+/g, line(theirs, 'ice-ufrag'))
        .replace(/a=ice-pwd:\S+/g, line(theirs, 'ice-pwd'));
      await peer.setRemoteDescription({ type: 'answer', sdp });
      return {
        status: patched.status,
        etag: patched.headers.get('etag'),
        before: line(body, 'ice-ufrag'),
        after: line(theirs, 'ice-ufrag'),
      };
    };
    return { location, etag: response.headers.get('etag') };
  };
  const Native = globalThis.RTCPeerConnection;
  globalThis.RTCPeerConnection = class extends Native {
    constructor(...all) {
      super(...all);
      state.peers.push(this);
    }
  };
  for (const name of ['srcObject', 'src']) {
    const property = Object.getOwnPropertyDescriptor(HTMLMediaElement.prototype, name);
    Object.defineProperty(HTMLMediaElement.prototype, name, {
      ...property,
      set(media) {
        if (media) state.elements.add(this);
        property.set.call(this, media);
      },
    });
  }
}

/** What the browser counted, reduced to what tests ask about. */
export async function measure() {
  const peers = [];
  for (const peer of globalThis.inverTest.peers) {
    const report = { state: peer.connectionState, inbound: {}, outbound: {}, layers: 0, pair: null };
    for (const [, entry] of await peer.getStats().then((stats) => [...stats])) {
      const { type, kind } = entry;
      if (type === 'candidate-pair' && entry.nominated) {
        report.pair = {
          roundTrip: entry.currentRoundTripTime,
          sent: entry.bytesSent,
          estimate: entry.availableOutgoingBitrate,
        };
      }
      if (type === 'inbound-rtp') {
        report.inbound[kind] = {
          frames: entry.framesDecoded,
          keyframes: entry.keyFramesDecoded,
          width: entry.frameWidth,
          height: entry.frameHeight,
          freezes: entry.freezeCount,
          frozen: entry.totalFreezesDuration,
          packets: entry.packetsReceived,
          lost: entry.packetsLost,
          nacks: entry.nackCount,
          keyframeRequests: entry.pliCount,
          retransmitted: entry.retransmittedPacketsReceived,
          energy: entry.totalAudioEnergy,
          concealed: entry.concealedSamples,
          samples: entry.totalSamplesReceived,
          codec: entry.codecId,
        };
      }
      if (type === 'outbound-rtp') {
        if (kind === 'video') report.layers += entry.bytesSent > 0 ? 1 : 0;
        report.outbound[kind] = {
          frames: entry.framesEncoded,
          packets: entry.packetsSent,
          retransmitted: entry.retransmittedPacketsSent,
          nacks: entry.nackCount,
          keyframeRequests: entry.pliCount,
          codec: entry.codecId,
          target: entry.targetBitrate,
        };
      }
      if (type === 'codec') {
        (report.codecs ??= {})[entry.id] = entry.mimeType.toLowerCase();
      }
    }
    for (const flow of [...Object.values(report.inbound), ...Object.values(report.outbound)]) {
      flow.codec = report.codecs?.[flow.codec] ?? null;
    }
    delete report.codecs;
    peers.push(report);
  }
  const canvas = (globalThis.inverTest.canvas ??= new OffscreenCanvas(64, 36));
  const elements = [...globalThis.inverTest.elements].map((element) => {
    const seen = {
      muted: element.muted,
      paused: element.paused,
      time: element.currentTime,
      streams: element.srcObject !== null,
      decoded: element.getVideoPlaybackQuality?.().totalVideoFrames,
    };
    if (!(element.videoWidth > 0)) return seen;
    const brush = canvas.getContext('2d', { willReadFrequently: true });
    brush.drawImage(element, 0, 0, canvas.width, canvas.height);
    const { data } = brush.getImageData(0, 0, canvas.width, canvas.height);
    // Spread of the green channel: near 0 for a black or uniform picture.
    let sum = 0;
    let squares = 0;
    for (let at = 1; at < data.length; at += 4) {
      sum += data[at];
      squares += data[at] * data[at];
    }
    const count = data.length / 4;
    const spread = Math.sqrt(Math.max(0, squares / count - (sum / count) ** 2));
    return { ...seen, width: element.videoWidth, height: element.videoHeight, spread };
  });
  const images = [...document.querySelectorAll('img.picture:not([hidden])')].map((image) => {
    const brush = canvas.getContext('2d', { willReadFrequently: true });
    brush.drawImage(image, 0, 0, canvas.width, canvas.height);
    const colour = (share) => [...brush.getImageData(canvas.width * share, 18, 1, 1).data].slice(0, 3);
    const size = { width: image.naturalWidth, height: image.naturalHeight };
    return { ...size, alt: image.alt, left: colour(0.25), right: colour(0.75) };
  });
  const players = [...document.querySelectorAll('inver-player')].map((player) => ({
    state: player.state,
    transport: player.activeTransport,
    latency: player.stats?.latencyMs,
    measured: player.stats?.measured,
    window: player.player?.window,
  }));
  const { beats, shown, hear } = globalThis.inverTest;
  return { peers, elements, images, players, beats, shown, heard: hear?.(), at: Date.now() };
}

/**
 * A plain WHIP client, one POST, no trickle: fake camera and microphone, or with `beats` a picture
 * that turns white for a moment each second while a tone sounds.
 */
export async function publish({ url, codec, token, simulcast, beats }) {
  const fromCamera = () => {
    // The smallest picture of which a browser still makes three layers.
    const size = simulcast ? { width: 960, height: 540 } : { width: 640, height: 360 };
    const video = { ...size, frameRate: 30 };
    return navigator.mediaDevices.getUserMedia({ audio: true, video });
  };
  const fromBeats = () => {
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [320, 180];
    const brush = canvas.getContext('2d');
    const sound = new AudioContext();
    const tone = new OscillatorNode(sound, { frequency: 1000 });
    const gate = new GainNode(sound, { gain: 0 });
    const out = new MediaStreamAudioDestinationNode(sound);
    tone.connect(gate).connect(out);
    tone.start();
    setInterval(() => {
      const on = performance.now() % 1000 < 150;
      gate.gain.value = on ? 0.8 : 0;
      brush.fillStyle = on ? 'white' : 'black';
      brush.fillRect(0, 0, canvas.width, canvas.height);
      // Something has to move, or no frames would be made in between.
      brush.fillStyle = 'gray';
      brush.fillRect((performance.now() / 10) % canvas.width, 170, 10, 10);
    }, 20);
    return new MediaStream([...canvas.captureStream(30).getTracks(), ...out.stream.getTracks()]);
  };
  const stream = beats ? fromBeats() : await fromCamera();
  const peer = new RTCPeerConnection();
  const layers = Number(simulcast ?? 1);
  const sendEncodings =
    layers > 1
      ? ['l', 'm', 'h']
          .slice(3 - layers)
          .map((rid, index) => ({ rid, scaleResolutionDownBy: 2 ** (layers - 1 - index) }))
      : [{}];
  const init = { direction: 'sendonly', streams: [stream] };
  const video = peer.addTransceiver(stream.getVideoTracks()[0], { ...init, sendEncodings });
  peer.addTransceiver(stream.getAudioTracks()[0], init);
  if (codec) {
    const { codecs } = RTCRtpSender.getCapabilities('video');
    const wanted = codecs.filter(({ mimeType }) => mimeType.toLowerCase() === `video/${codec}`);
    const repair = codecs.filter(({ mimeType }) => /rtx/i.test(mimeType));
    video.setCodecPreferences([...wanted, ...repair]);
  }
  return globalThis.inverTest.exchange(peer, url, token);
}

/**
 * A plain WHEP client that plays aloud. It counts the pictures shown: `first` is how many
 * milliseconds after the answer the first came, `backwards` how many were older than the one
 * before. With `beats` it notes when the picture turned white and when a tone began, in the same
 * clock; with `hear` it tells the loudest `frequency` of the sound in hertz and its `level` in
 * decibels of full scale.
 */
export async function watch({ url, token, beats, hear }) {
  const follow = (element) => {
    const shown = { count: 0, backwards: 0, first: null };
    globalThis.inverTest.shown = shown;
    let last = null;
    const look = (now, { rtpTimestamp }) => {
      shown.first ??= now - globalThis.inverTest.answered;
      shown.count += 1;
      // The signed difference of 32-bit timestamps.
      if (last !== null && ((rtpTimestamp - last) | 0) < 0) shown.backwards += 1;
      last = rtpTimestamp;
      element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback(look);
  };
  const listen = (stream) => {
    const sound = new AudioContext();
    const analyser = new AnalyserNode(sound, { fftSize: 8192, smoothingTimeConstant: 0 });
    new MediaStreamAudioSourceNode(sound, { mediaStream: stream }).connect(analyser);
    const levels = new Float32Array(analyser.frequencyBinCount);
    globalThis.inverTest.hear = () => {
      analyser.getFloatFrequencyData(levels);
      const loudest = levels.reduce((best, level, at) => (level > levels[best] ? at : best), 0);
      const level = levels[loudest];
      const frequency = (loudest * sound.sampleRate) / analyser.fftSize;
      // Minus infinity, which JSON has no word for, means silence.
      return { frequency, level: Number.isFinite(level) ? level : -1000 };
    };
  };
  const note = (stream, element) => {
    const seen = { flashes: [], tones: [] };
    globalThis.inverTest.beats = seen;
    const canvas = new OffscreenCanvas(16, 9);
    const brush = canvas.getContext('2d', { willReadFrequently: true });
    let white = true;
    const look = (_, { expectedDisplayTime }) => {
      brush.drawImage(element, 0, 0, canvas.width, canvas.height);
      const [level] = brush.getImageData(8, 2, 1, 1).data;
      if (level > 128 && !white) seen.flashes.push(expectedDisplayTime);
      white = level > 128;
      element.requestVideoFrameCallback(look);
    };
    element.requestVideoFrameCallback(look);
    const sound = new AudioContext();
    const analyser = new AnalyserNode(sound, { fftSize: 256 });
    new MediaStreamAudioSourceNode(sound, { mediaStream: stream }).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let loud = true;
    setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const now = samples.some((sample) => Math.abs(sample) > 0.2);
      if (now && !loud) seen.tones.push(performance.now());
      loud = now;
    }, 5);
  };

  const peer = new RTCPeerConnection();
  peer.addTransceiver('video', { direction: 'recvonly' });
  peer.addTransceiver('audio', { direction: 'recvonly' });
  const stream = new MediaStream();
  peer.ontrack = ({ track }) => {
    stream.addTrack(track);
    const element = document.querySelector('video');
    element.srcObject = stream;
    element.muted = false;
    if (track.kind === 'video') follow(element);
    if (hear && track.kind === 'audio') listen(new MediaStream([track]));
    if (beats && stream.getTracks().length === 2) note(stream, element);
  };
  return globalThis.inverTest.exchange(peer, url, token);
}

/**
 * A WHEP client that lets the server offer: an empty POST as the early draft has it, answered by
 * `answer` (PATCH or POST), or with `counter` an offer that asks for a counter-offer.
 */
export async function takeOffer({ url, answer, counter }) {
  const ask = async () => {
    if (!counter) return fetch(url, { method: 'POST' });
    const unused = new RTCPeerConnection();
    unused.addTransceiver('video', { direction: 'recvonly' });
    await unused.setLocalDescription();
    const body = unused.localDescription.sdp;
    unused.close();
    const headers = { 'content-type': 'application/sdp', prefer: 'counter-offer' };
    return fetch(url, { method: 'POST', headers, body });
  };
  const asked = await ask();
  const offer = await asked.text();
  if (!offer.startsWith('v=0')) return { refused: asked.status, body: offer };
  const peer = new RTCPeerConnection();
  const stream = new MediaStream();
  peer.ontrack = ({ track }) => {
    stream.addTrack(track);
    const element = document.querySelector('video');
    element.srcObject = stream;
    element.muted = false;
  };
  await peer.setRemoteDescription({ type: 'offer', sdp: offer });
  await peer.setLocalDescription();
  const location = asked.headers.get('location');
  const answered = await fetch(location, {
    method: answer,
    headers: { 'content-type': 'application/sdp' },
    body: peer.localDescription.sdp,
  });
  globalThis.inverTest.end = async () => (await fetch(location, { method: 'DELETE' })).status;
  return { status: asked.status, type: asked.headers.get('content-type'), answered: answered.status };
}
