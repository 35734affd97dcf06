// The sound of the page's examples: FLAC in base64, decoded once each at its own rate, so that nothing is resampled
// before all versions are one signal.
class Sounds {
  constructor(examples) {
    this.examples = examples;
    this.contexts = new Map();
    this.decoded = new Map();
  }

  // All versions of an example, and the context that plays them; versions are as long as each other.
  async open(exampleIndex) {
    const example = this.examples[exampleIndex];
    const context = this.contextFor(example.sample_rate_hz);
    if (!this.decoded.has(exampleIndex)) {
      const decoding = Promise.all(example.versions.map((one) => context.decodeAudioData(bytesOf(one.flac))));
      this.decoded.set(exampleIndex, decoding);
      decoding.catch(() => this.decoded.delete(exampleIndex)); // so that it is tried again
    }
    const buffers = await this.decoded.get(exampleIndex);
    await context.resume();
    return { context, buffers };
  }

  contextFor(rate) {
    if (!this.contexts.has(rate)) this.contexts.set(rate, newContext(rate));
    return this.contexts.get(rate);
  }
}

function newContext(sampleRate) {
  try {
    return new AudioContext({ sampleRate, latencyHint: "interactive" });
  } catch {
    return new AudioContext(); // a browser that has only the device's rate resamples all versions alike
  }
}

function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) bytes[index] = text.charCodeAt(index);
  return bytes.buffer;
}
