const SEEK_STEP_S = 1;

// The controls of one player: play, position, loop, and a button for each version. Keys go to the controls that were
// used last. The page hears of positions as the property --at of the root, from 0 to 1.
class Controls {
  static active = null;

  // `versionButtons` has the button of each version of the player; `keys` what is pressed for it.
  constructor(root, player, versionButtons, keys) {
    this.root = root;
    this.player = player;
    this.versionButtons = versionButtons;
    this.keys = keys;
    this.playButton = button("Play", () => this.toggle(), { class: "play" });
    this.slider = element("input", {
      type: "range", class: "seek", min: 0, max: player.duration, step: 0.01, value: 0, "aria-label": "Position",
      oninput: () => this.player.seek(Number(this.slider.value)),
    });
    this.clock = element("span", { class: "clock" });
    const loop = element("input", { type: "checkbox", onchange: () => this.player.setLoop(loop.checked) });
    this.loop = loop;
    this.bar = element("div", { class: "controls" }, this.playButton, this.slider, this.clock, element("label", {}, loop, " Loop"));
    versionButtons.forEach((one, index) => one.addEventListener("click", () => this.select(index)));
    for (const event of ["pointerdown", "focusin"]) root.addEventListener(event, () => this.activate());
    player.addEventListener("change", () => this.show());
    this.show();
  }

  activate() {
    const before = Controls.active;
    if (before === this) return;
    if (before !== null && before.player.playing) before.player.pause();
    Controls.active = this;
  }

  toggle() {
    this.activate();
    if (this.player.playing) return this.player.pause();
    return this.player.play().catch((error) => {
      this.clock.textContent = `This browser cannot play it: ${error.message}`;
    });
  }

  select(index) {
    this.activate();
    this.player.select(index);
  }

  // Forwards or backwards through the versions, round the end.
  step(distance) {
    const count = this.versionButtons.length;
    this.select((this.player.selected + distance + count) % count);
  }

  seekBy(distance) {
    this.player.seek(this.player.position + distance);
  }

  toggleLoop() {
    this.loop.checked = !this.loop.checked;
    this.player.setLoop(this.loop.checked);
  }

  show() {
    const { player } = this;
    this.playButton.textContent = player.playing ? "Pause" : "Play";
    this.root.classList.toggle("playing", player.playing);
    this.versionButtons.forEach((one, index) => one.setAttribute("aria-pressed", String(index === player.selected)));
    this.showPosition();
    if (player.playing && !this.following) this.follow();
  }

  follow() {
    this.following = true;
    requestAnimationFrame(() => {
      this.following = false;
      this.showPosition();
      if (this.player.playing && !this.following) this.follow();
    });
  }

  showPosition() {
    const { position, duration } = this.player;
    this.slider.value = position;
    this.slider.setAttribute("aria-valuetext", seconds(position));
    this.clock.textContent = `${position.toFixed(1)} / ${seconds(duration)}`;
    this.root.style.setProperty("--at", position / duration);
  }
}
