// Which of A and B is X in each trial: true for B.
function abxOrder(seed, numTrials) {
  const random = seededRandom(seed);
  return Array.from({ length: numTrials }, () => random() < 0.5);
}

// What a finished or unfinished test says, with the versions' names.
function abxResult(state, examples) {
  const { example, a, b, numTrials } = state.setup;
  const order = abxOrder(state.seed, numTrials);
  const trials = state.trials.map((trial, index) => {
    const x = order[index] ? "b" : "a";
    return { x, answer: trial.answer, right: trial.answer === x, seconds: trial.seconds, answered: trial.answered };
  });
  const numRight = trials.filter((trial) => trial.right).length;
  const version = (index) => describeVersion(examples[example].versions[index]);
  return {
    kind: "abx",
    example: examples[example].name,
    a: version(a),
    b: version(b),
    seed: state.seed,
    started: state.started,
    finished: state.finished ?? null,
    num_trials_planned: numTrials,
    num_trials: trials.length,
    num_right: numRight,
    p_value: guessingProbability(numRight, trials.length),
    trials,
  };
}

// One trial after the other: A, B and X to listen to, and a question.
class AbxTest {
  constructor(state, sounds, session) {
    Object.assign(this, { state, sounds, session });
  }

  show(place) {
    const { state } = this;
    const { numTrials } = state.setup;
    if (state.trials.length === numTrials) return this.session.finish();
    const names = ["A", "B", "X"];
    const keys = digitKeys(1, 3);
    const versions = names.map((name, index) => versionButton(name, keys[index]));
    const bar = element("div", { class: "row" });
    const root = element(
      "div", {},
      element("p", { class: "progress", role: "status" }, `Trial ${state.trials.length + 1} of ${numTrials}`),
      bar,
      element("div", { class: "row choices" }, ...versions),
      element("p", {}, "X is the same as A or the same as B. Which one?"),
      element("div", { class: "row" }, ...["a", "b"].map((one) =>
        button(`X is ${one.toUpperCase()}`, () => this.answer(one, place), { class: "answer", "data-answer": one }))),
    );
    const controls = new Controls(root, this.playerOf(state.trials.length), versions, keys);
    controls.player.selected = 2;
    controls.show();
    bar.append(controls.bar);
    place.replaceChildren(root);
    this.session.use(controls);
    this.shownAt = performance.now();
    return undefined;
  }

  playerOf(trial) {
    const { example, a, b, numTrials } = this.state.setup;
    const chosen = [a, b, abxOrder(this.state.seed, numTrials)[trial] ? b : a];
    return new VersionPlayer(this.sounds.examples[example].duration_s, async () => {
      const { context, buffers } = await this.sounds.open(example);
      return { context, buffers: chosen.map((index) => buffers[index]) };
    });
  }

  answer(answer, place) {
    const taken = (performance.now() - this.shownAt) / 1000;
    this.state.trials.push({ answer, seconds: Number(taken.toFixed(2)), answered: new Date().toISOString() });
    this.session.keep();
    this.show(place);
  }

  summary() {
    const result = abxResult(this.state, this.sounds.examples);
    const chance = result.p_value < 0.001 ? "< 0.001" : `= ${result.p_value.toFixed(3)}`;
    return [
      element("p", { class: "verdict" }, `${result.num_right} of ${result.num_trials} right, p ${chance}`),
      element("p", {}, `A was ${result.a.name}, B was ${result.b.name}. p is the chance of at least as many right answers by `
        + "guessing (one-sided binomial test)."),
    ];
  }

  result() {
    return abxResult(this.state, this.sounds.examples);
  }
}
