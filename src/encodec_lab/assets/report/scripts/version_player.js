const CROSSFADE_S = 0.005;
// Changes are due a little later than now, so that every gain hears of them before the first one acts.
const LEAD_S = 0.02;

// Plays all versions of a recording in step and lets one be heard. Switching moves gains only, and they always sum
// to one, so that there is no gap and the position stays.
class VersionPlayer extends EventTarget {
  // `open` gives { context, buffers }, one buffer per version, when playing begins for the first time.
  constructor(duration, open) {
    super();
    this.duration = duration;
    this.open = open;
    this.selected = 0;
    this.loop = false;
    this.group = null; // what is running
    this.opening = null;
    this.restingPosition = 0;
    this.settledAt = 0; // when the last crossfade is over
  }

  get playing() {
    return this.group !== null || this.opening !== null;
  }

  get position() {
    return this.group === null ? this.restingPosition : this.positionAt(this.context.currentTime);
  }

  positionAt(time) {
    const reached = this.group.offset + Math.max(0, time - this.group.startsAt);
    return this.loop ? reached % this.duration : Math.min(reached, this.duration);
  }

  // How loud each version is now: while nothing is being switched, one of them 1 and the others 0.
  get levels() {
    return this.group === null ? [] : this.group.voices.map((voice) => voice.gain.gain.value);
  }

  async play() {
    if (this.playing) return;
    const opening = (this.opening = this.open());
    this.changed();
    try {
      const { context, buffers } = await opening;
      if (this.opening !== opening) return; // paused meanwhile
      this.context = context;
      this.buffers = buffers;
      this.start(this.restingPosition, context.currentTime + LEAD_S);
    } finally {
      if (this.opening === opening) this.opening = null;
      this.changed();
    }
  }

  pause() {
    this.opening = null;
    if (this.group !== null) {
      const at = this.nextChange();
      this.restingPosition = this.positionAt(at);
      this.stop(at);
    }
    this.changed();
  }

  seek(position) {
    const within = Math.min(Math.max(0, position), this.duration);
    if (this.group === null) {
      this.restingPosition = within;
    } else {
      const at = this.nextChange();
      this.stop(at);
      this.start(within, at);
    }
    this.changed();
  }

  select(index) {
    if (index === this.selected) return;
    if (this.group !== null) {
      const at = this.nextChange();
      fade(this.group.voices[this.selected].gain, 1, 0, at);
      fade(this.group.voices[index].gain, 0, 1, at);
      this.settledAt = at + CROSSFADE_S;
    }
    this.selected = index;
    this.changed();
  }

  setLoop(loop) {
    const position = this.position;
    this.loop = loop;
    if (this.group === null) this.changed();
    else this.seek(position);
  }

  nextChange() {
    return Math.max(this.context.currentTime + LEAD_S, this.settledAt);
  }

  // Every voice starts at the same sample of the same time.
  start(position, at) {
    const context = this.context;
    const offset = position >= this.duration ? 0 : position;
    const output = new GainNode(context, { gain: 0 });
    fade(output, 0, 1, at);
    output.connect(context.destination);
    const voices = this.buffers.map((buffer, index) => {
      const source = new AudioBufferSourceNode(context, { buffer, loop: this.loop });
      const gain = new GainNode(context, { gain: index === this.selected ? 1 : 0 });
      source.connect(gain).connect(output);
      source.start(at, offset);
      return { source, gain };
    });
    const group = { output, voices, offset, startsAt: at };
    this.group = group;
    this.settledAt = at + CROSSFADE_S;
    voices[0].source.onended = () => {
      output.disconnect();
      if (this.group !== group) return;
      this.group = null;
      this.restingPosition = 0;
      this.changed();
    };
  }

  stop(at) {
    fade(this.group.output, 1, 0, at);
    for (const { source } of this.group.voices) source.stop(at + CROSSFADE_S);
    this.group = null;
    this.settledAt = at + CROSSFADE_S;
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }
}

function fade(node, from, to, at) {
  node.gain.setValueAtTime(from, at);
  node.gain.linearRampToValueAtTime(to, at + CROSSFADE_S);
}
