// Numbers in [0, 1) that a 32-bit seed determines (mulberry32 by Tommy Ettinger, public domain).
function seededRandom(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function freshSeed() {
  return crypto.getRandomValues(new Uint32Array(1))[0];
}

// A shuffled copy (Fisher and Yates).
function shuffled(items, random) {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = Math.floor(random() * (last + 1));
    [result[last], result[other]] = [result[other], result[last]];
  }
  return result;
}

// The chance of at least `numRight` of `numTrials` when guessing: the upper tail of the binomial distribution of 1/2.
function guessingProbability(numRight, numTrials) {
  let term = 2 ** -numTrials; // of k = 0; at most 1,000 trials, so that it does not vanish
  let sum = 0;
  for (let k = 0; k <= numTrials; k++) {
    if (k >= numRight) sum += term;
    term *= (numTrials - k) / (k + 1);
  }
  return Math.min(1, sum);
}
