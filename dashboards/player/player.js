// A run of a graph, played in the browser: no frame asks the server for anything.
//
// `data` (dashboards/player/component.py): `key` names the run, `scene` is what interp/figures/scene.py makes of it,
// `step` and `at` are the state and the position to show, `shown` the run ("original" or "edited"), `editable` the factors
// that can be changed.
// State that goes back: `place` ({step, at, shown}, with a number that makes each anew). Triggers: `edit` ({at, step,
// factor, symbol}) and `undo`.

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 14;
const ROW = 47;
const TRAVEL = 620;
const REST = 480;
const players = new WeakMap();

export default function (component) {
  const root = component.parentElement.querySelector(".player");
  let player = players.get(root);
  if (!player) players.set(root, (player = new Player(root)));
  player.take(component);
  return () => player.leave();
}

/** Scroll a box, and nothing around it, until a part of it can be seen below what stays on top. */
function seen(box, part, top) {
  if (!part) return;
  const lowest = part.offsetTop + part.offsetHeight - box.clientHeight;
  box.scrollTop = Math.max(lowest, Math.min(box.scrollTop, part.offsetTop - top));
}

class Player {
  constructor(root) {
    this.root = root;
    this.svg = root.querySelector(".stage svg");
    this.stage = root.querySelector(".stage");
    this.slider = root.querySelector("input[type=range]");
    this.inspector = root.querySelector(".inspector");
    this.playing = false;
    this.zoom = 1;
    this.asked = {};
    this.turn = 0;
    const on = (name, act) => root.querySelector(`[data-do=${name}]`).addEventListener("click", act);
    on("previous", () => this.jump(this.step - 1));
    on("next", () => this.jump(this.step + 1, true));
    on("play", () => (this.playing ? this.pause() : this.play()));
    on("in", () => this.zoomTo(this.zoom * 1.4));
    on("out", () => this.zoomTo(this.zoom / 1.4));
    on("fit", () => this.zoomTo(1));
    this.slider.addEventListener("input", () => this.jump(Number(this.slider.value)));
    for (const button of root.querySelectorAll("[data-run]")) {
      button.addEventListener("click", () => this.showRun(Number(button.dataset.run)));
    }
    this.svg.addEventListener("keydown", (event) => this.walk(event));
    this.drag();
    this.watcher = new ResizeObserver(() => this.resize());
  }

  // ---- what the server says ----

  take(component) {
    const { data, setStateValue, setTriggerValue } = component;
    this.send = setStateValue;
    this.trigger = setTriggerValue;
    this.editable = data.editable || [];
    this.watcher.observe(this.root);
    const fresh = data.key !== this.key;
    if (fresh) {
      this.pause(false);
      this.key = data.key;
      this.scene = data.scene;
      this.runs = data.scene.runs.map(unpacked(data.scene));
      this.solved = this.runs.map((run) => this.firsts(run));
      this.width = 0;
      this.asked = {};
    }
    // What the server says counts where it says something new; else it only repeats what was sent to it. An answer to an
    // earlier move, which comes when the reader has moved again, says nothing.
    const stale = !fresh && data.turn < this.turn;
    this.turn = Math.max(this.turn, data.turn);
    const news = (name) => fresh || (!stale && data[name] !== this.asked[name]);
    if (news("shown")) this.shown = Math.min(data.shown === "original" ? 0 : 1, this.runs.length - 1);
    if (news("at")) this.at = data.at;
    if (news("step") && !this.playing) this.step = Math.min(data.step, this.last);
    if (!stale) this.asked = { step: data.step, at: data.at, shown: data.shown };
    this.step = Math.min(this.step, this.last);
    this.root.querySelector(".which").hidden = this.runs.length < 2;
    this.resize(fresh);
    this.draw();
  }

  leave() {
    this.pause(false);
    this.watcher.disconnect();
  }

  get run() {
    return this.runs[this.shown];
  }

  get last() {
    return Math.max(...this.runs.map((run) => run.n)) - 1;
  }

  /** The step that first wrote the true value of every node; -1 where none did. */
  firsts(run) {
    return this.scene.nodes.map((node) => {
      for (let state = 1; state < run.n; state++) if (run.code(state, node.rhs, 3) === node.truth) return state - 1;
      return -1;
    });
  }

  nodeAt(position) {
    return this.scene.nodes.findIndex((node) => node.first <= position && position <= node.rhs);
  }

  // ---- moving ----

  jump(step, animate = false) {
    const to = Math.max(0, Math.min(this.last, step));
    if (!animate) this.pause(false);
    const forward = to === this.step + 1;
    this.step = to;
    this.draw(animate && forward);
    this.tell();
  }

  play() {
    if (this.step >= this.last) this.step = 0;
    this.playing = true;
    this.draw();
    this.timer = setTimeout(() => this.advance(), 250);
  }

  advance() {
    if (!this.playing) return;
    if (this.step >= this.last) return this.pause();
    this.step += 1;
    this.draw(true);
    this.timer = setTimeout(() => this.advance(), (TRAVEL + REST) / this.speed());
  }

  pause(tell = true) {
    clearTimeout(this.timer);
    const was = this.playing;
    this.playing = false;
    this.buttons();
    if (was && tell) this.tell();
  }

  speed() {
    return Number(this.root.querySelector(".speed").value);
  }

  showRun(index) {
    this.shown = index;
    this.draw();
    this.tell();
  }

  choose(node, position = this.scene.nodes[node].rhs) {
    this.at = position;
    this.draw();
    this.tell();
  }

  /** Tell the server where the reader is, once moving has come to rest. */
  tell() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => {
      const now = { step: this.step, at: this.at, shown: this.shown ? "edited" : "original" };
      if (Object.entries(now).every(([name, value]) => this.asked[name] === value)) return;
      this.asked = now;
      this.turn += 1;
      this.send("place", { ...now, turn: this.turn });
    }, 200);
  }

  /** Arrow keys go from node to node: to an operand, to a result, up and down a column. */
  walk(event) {
    const focused = Number(event.target.dataset?.node ?? -1);
    if (focused < 0) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      return this.choose(focused);
    }
    const nodes = this.scene.nodes;
    const node = nodes[focused];
    const column = nodes.map((_, index) => index).filter((index) => nodes[index].column === node.column);
    column.sort((one, other) => nodes[other].row - nodes[one].row);
    const place = column.indexOf(focused);
    const next = {
      ArrowLeft: () => node.operands[0],
      ArrowRight: () => nodes.findIndex((other) => other.operands.includes(focused)),
      ArrowUp: () => column[place - 1],
      ArrowDown: () => column[place + 1],
    }[event.key]?.();
    if (next === undefined) return;
    event.preventDefault();
    if (next < 0 || !this.marks[next]) return;
    for (const mark of this.marks) mark.group.setAttribute("tabindex", "-1");
    this.marks[next].group.setAttribute("tabindex", "0");
    this.marks[next].group.focus();
  }

  // ---- the graph ----

  resize(force = false) {
    const width = this.root.clientWidth;
    this.root.classList.toggle("narrow", width < 860);
    if (!this.scene || !width) return;
    const inner = this.stage.clientWidth;
    if (!force && Math.abs(inner - this.width) < 2) return;
    this.width = inner;
    this.build();
    this.draw();
  }

  /** Columns by depth; where they do not fit they are folded into bands, one below the other. */
  build() {
    const { nodes } = this.scene;
    const longest = Math.max(...nodes.map((node) => node.name.length));
    const columns = Math.max(...nodes.map((node) => node.column)) + 1;
    const least = Math.max(2 * RADIUS + 16, Math.min(130, longest * 6.4 + 12));
    const perBand = Math.max(2, Math.floor((this.width - 12) / least));
    const bands = Math.ceil(columns / perBand);
    const pitch = bands > 1 ? (this.width - 12) / perBand : Math.min(120, (this.width - 12) / columns);
    let top = 0;
    const tops = [];
    for (let band = 0; band < bands; band++) {
      const rows = nodes.filter((node) => Math.floor(node.column / perBand) === band).map((node) => node.row);
      const high = Math.max(0, ...rows);
      const low = Math.min(0, ...rows);
      tops.push({ middle: top + 22 + ROW / 2 + high * ROW, label: top + 14 });
      top += (high - low + 1) * ROW + 34;
    }
    this.height = top + 4;
    const place = (node) => {
      const band = tops[Math.floor(node.column / perBand)];
      return { x: 6 + ((node.column % perBand) + 0.5) * pitch, y: band.middle - node.row * ROW + 6 };
    };
    this.places = nodes.map(place);
    this.svg.replaceChildren();
    this.box = { x: 0, y: 0, width: this.width, height: this.height };
    this.zoomTo(1);
    for (let column = 0; column < columns; column++) {
      const label = make("text", { class: "level", x: 6 + ((column % perBand) + 0.5) * pitch });
      label.setAttribute("y", tops[Math.floor(column / perBand)].label);
      label.textContent = pitch > 62 || columns < 4 || column % perBand === 0 ? `depth ${column}` : column;
      this.svg.append(label);
    }
    this.edges = [];
    nodes.forEach((node, index) => {
      node.operands.forEach((operand) => {
        const path = make("path", { class: "edge", d: curve(this.places[operand], this.places[index]) });
        const leaps = Math.floor(nodes[operand].column / perBand) !== Math.floor(node.column / perBand);
        if (leaps) path.classList.add("far");
        this.edges.push({ from: operand, to: index, path });
        this.svg.append(path);
      });
    });
    this.parcels = make("g", { class: "parcels", "aria-hidden": "true" });
    this.marks = nodes.map((node, index) => this.mark(node, index));
    this.svg.append(...this.marks.map((mark) => mark.group), this.parcels);
  }

  mark(node, index) {
    const { x, y } = this.places[index];
    const group = make("g", { class: "node", role: "button", transform: `translate(${x} ${y})` });
    group.dataset.node = index;
    const parts = {
      halo: make("circle", { class: "halo", r: RADIUS + 8 }),
      ring: make("circle", { class: "ring", r: RADIUS + 4.5 }),
      other: make("circle", { class: "other", r: RADIUS + 4.5 }),
      disc: make("circle", { class: "disc", r: RADIUS }),
      value: make("text", { class: "value" }),
      sign: make("text", { class: "mark", x: RADIUS + 3, y: RADIUS + 2 }),
    };
    const name = make("text", { class: "name", y: -RADIUS - 6 });
    name.textContent = short(node.name);
    const title = make("title", {});
    group.append(title, ...Object.values(parts), name);
    group.addEventListener("click", () => this.choose(index));
    return { group, title, ...parts };
  }

  zoomTo(zoom, centre) {
    this.zoom = Math.max(1, Math.min(8, zoom));
    const width = this.width / this.zoom;
    const height = this.height / this.zoom;
    const old = this.box;
    const middle = centre ?? { x: old.x + old.width / 2, y: old.y + old.height / 2 };
    this.box = {
      x: Math.max(0, Math.min(this.width - width, middle.x - width / 2)),
      y: Math.max(0, Math.min(this.height - height, middle.y - height / 2)),
      width,
      height,
    };
    this.stage.classList.toggle("zoomed", this.zoom > 1);
    const { x, y } = this.box;
    this.svg.setAttribute("viewBox", `${x} ${y} ${width} ${height}`);
    this.svg.style.height = `${this.height}px`;
  }

  /** A zoomed graph is moved by dragging it. */
  drag() {
    let from = null;
    this.svg.addEventListener("pointerdown", (event) => {
      if (this.zoom > 1) from = { x: event.clientX, y: event.clientY, box: { ...this.box } };
    });
    this.svg.addEventListener("pointermove", (event) => {
      if (!from) return;
      const scale = 1 / this.zoom;
      const centre = {
        x: from.box.x + from.box.width / 2 - (event.clientX - from.x) * scale,
        y: from.box.y + from.box.height / 2 - (event.clientY - from.y) * scale,
      };
      this.zoomTo(this.zoom, centre);
    });
    for (const end of ["pointerup", "pointerleave", "pointercancel"]) {
      this.svg.addEventListener(end, () => (from = null));
    }
  }

  // ---- a state ----

  draw(animate = false) {
    if (!this.marks) return;
    const { nodes } = this.scene;
    const run = this.run;
    const now = run.at(this.step);
    const before = run.at(Math.max(0, this.step - 1));
    const chosen = this.nodeAt(this.at);
    const written = [];
    nodes.forEach((node, index) => {
      const code = run.code(now, node.rhs, 3);
      if (this.step > 0 && code !== run.code(before, node.rhs, 3)) written.push(index);
      this.paint(index, code, now, chosen === index);
    });
    for (const index of written) this.marks[index].group.classList.add("frontier");
    for (const operand of nodes[chosen]?.operands ?? []) this.marks[operand].group.classList.add("source");
    for (const edge of this.edges) {
      edge.path.classList.toggle("own", edge.to === chosen);
      edge.path.classList.toggle("read", written.includes(edge.to));
    }
    this.buttons();
    this.slider.max = this.last;
    this.slider.value = this.step;
    const label = this.step === 0 ? "start" : `after step ${this.step - 1}`;
    this.slider.setAttribute("aria-valuetext", label);
    this.root.querySelector(".when").textContent = `${label} of ${this.last - 1}`;
    this.say(written, now);
    this.legend();
    this.inspect(chosen);
    this.parcels.replaceChildren();
    if (animate && written.length && !matchMedia("(prefers-reduced-motion: reduce)").matches) this.travel(written, before);
  }

  paint(index, code, now, chosen) {
    const { nodes, empty, colours, inks } = this.scene;
    const run = this.run;
    const node = nodes[index];
    const mark = this.marks[index];
    const right = code === node.truth;
    const wrong = code !== empty && !right;
    const first = this.solved[this.shown][index];
    const colour = first >= 0 ? colours[Math.min(first, colours.length - 1)] : "#a9adb8";
    const filled = right && first >= 0 && first < this.step;
    let healed = false;
    if (right) {
      for (let state = 1; state < now && !healed; state++) {
        const old = run.code(state, node.rhs, 3);
        healed = old !== empty && old !== node.truth;
      }
    }
    const differs = this.runs.length > 1 && this.differs(index);
    mark.group.setAttribute("class", "node");
    const classes = { chosen, wrong, healed, differs };
    for (const [name, is] of Object.entries(classes)) mark.group.classList.toggle(name, is);
    mark.disc.style.fill = filled ? colour : "var(--paper)";
    mark.disc.style.stroke = wrong ? "var(--wrong)" : `color-mix(in srgb, ${colour} 68%, var(--ink))`;
    mark.value.textContent = code === empty ? "•" : this.scene.symbols.value[code];
    mark.value.style.fill = filled ? inks[Math.min(first, inks.length - 1)] : "var(--ink)";
    mark.sign.textContent = wrong ? "✕" : healed ? "↺" : "";
    mark.sign.style.fill = wrong ? "var(--wrong)" : "var(--healed)";
    const shows = code === empty ? "not computed yet" : `shows ${this.scene.symbols.value[code]}`;
    const verdict = wrong ? `, wrong: the true value is ${node.truth}` : healed ? ", right again" : "";
    const other = differs ? ", not as in the other run" : "";
    mark.group.setAttribute("aria-label", `${node.name}: ${shows}${verdict}${other}`);
    mark.group.setAttribute("tabindex", chosen ? "0" : "-1");
    mark.title.textContent = `${node.equation}\n${shows}${verdict}${other}`;
  }

  differs(index) {
    const [one, other] = this.runs;
    const { rhs } = this.scene.nodes[index];
    return one.code(one.at(this.step), rhs, 3) !== other.code(other.at(this.step), rhs, 3);
  }

  /** The values that a step reads go along the edges to the nodes that it writes. */
  travel(written, before) {
    const time = TRAVEL / this.speed();
    const run = this.run;
    const moving = this.edges
      .filter((edge) => written.includes(edge.to))
      .map((edge) => {
        const code = run.code(before, this.scene.nodes[edge.from].rhs, 3);
        const group = make("g", { class: "parcel" });
        const text = make("text", {});
        text.textContent = code === this.scene.empty ? "•" : this.scene.symbols.value[code];
        group.append(make("circle", { r: 9 }), text);
        this.parcels.append(group);
        return { group, path: edge.path, length: edge.path.getTotalLength() };
      });
    const discs = written.map((index) => this.marks[index]);
    for (const mark of discs) mark.value.style.opacity = mark.disc.style.fillOpacity = 0;
    const parcels = this.parcels;
    const began = performance.now();
    const frame = (now) => {
      const share = Math.min(1, (now - began) / time);
      const eased = share * share * (3 - 2 * share);
      for (const { group, path, length } of moving) {
        const { x, y } = path.getPointAtLength(eased * length);
        group.setAttribute("transform", `translate(${x} ${y})`);
      }
      const gone = parcels !== this.parcels || !moving.every(({ group }) => group.isConnected);
      if (share < 1 && !gone) return requestAnimationFrame(frame);
      for (const mark of discs) mark.value.style.opacity = mark.disc.style.fillOpacity = "";
      for (const { group } of moving) group.remove();
    };
    requestAnimationFrame(frame);
  }

  buttons() {
    const play = this.root.querySelector("[data-do=play]");
    const label = this.playing ? "Pause" : "Play";
    play.querySelector("path").setAttribute("d", this.playing ? "M2 1h4v12H2zM8 1h4v12H8z" : "M2 1v12l11-6z");
    play.setAttribute("aria-label", label);
    play.title = label;
    if (!this.scene) return;
    this.root.querySelector("[data-do=previous]").disabled = this.step <= 0;
    this.root.querySelector("[data-do=next]").disabled = this.step >= this.last;
    for (const button of this.root.querySelectorAll("[data-run]")) {
      button.setAttribute("aria-pressed", String(Number(button.dataset.run) === this.shown));
    }
  }

  /** One sentence of what the step did, also for a screen reader. */
  say(written, now) {
    const { nodes, symbols, empty } = this.scene;
    const show = (index) => {
      const code = this.run.code(now, nodes[index].rhs, 3);
      return `${nodes[index].name} = ${code === empty ? "EMPTY" : symbols.value[code]}`;
    };
    const listed = written.slice(0, 6).map(show).join(", ");
    const more = written.length > 6 ? ` and ${written.length - 6} more` : "";
    let text = "The text as it is read; no node has been computed.";
    if (this.step > 0) text = written.length ? `Step ${this.step - 1} writes ${listed}${more}.` : `Step ${this.step - 1} changes no value.`;
    if (this.runs.length > 1) {
      const apart = nodes.filter((_, index) => this.differs(index)).length;
      const at = this.scene.edited_at;
      if (this.step >= at) text += apart ? ` ${apart} of ${nodes.length} nodes differ from the other run.` : " Both runs show the same values.";
    }
    const said = this.root.querySelector(".said");
    if (said.textContent !== text) said.textContent = text;
  }

  legend() {
    const { colours } = this.scene;
    const shown = new Set(this.solved[this.shown]);
    const steps = [...shown].filter((step) => step >= 0).sort((one, other) => one - other);
    const some = steps.length > 8 ? steps.filter((_, place) => place % Math.ceil(steps.length / 8) === 0) : steps;
    const items = some.map((step) => [`solved at step ${step}`, `--swatch:${colours[step]}`]);
    if (shown.has(-1)) items.push(["never solved", "--swatch:#a9adb8"]);
    items.push(["wrong", "--edge:3px solid var(--wrong)"], ["written in this step", "--swatch:color-mix(in srgb, var(--main) 30%, var(--paper))"]);
    if (this.scene.nodes[this.nodeAt(this.at)]?.operands.length) items.push(["read by the chosen node", "--edge:1.5px dashed var(--ink)"]);
    if (this.runs.length > 1) items.push(["differs from the other run", "--edge:2px dashed var(--other)"]);
    this.root.querySelector(".legend").replaceChildren(
      ...items.map(([text, style]) => {
        const item = document.createElement("span");
        item.textContent = text;
        item.setAttribute("style", style);
        return item;
      }),
    );
  }

  // ---- the inspector ----

  inspect(index) {
    const { nodes, factors, symbols, empty } = this.scene;
    const node = nodes[index];
    if (!node) return this.inspector.replaceChildren();
    const run = this.run;
    const now = run.at(this.step);
    const code = run.code(now, node.rhs, 3);
    const first = this.solved[this.shown][index];
    const shows = code === empty ? "nothing yet" : symbols.value[code];
    const facts = `Shows ${shows}; the true value is ${node.truth}. Depth ${node.depth}, ${first < 0 ? "never solved" : `solved at step ${first}`}.`;
    const reads = node.operands.length ? ` Reads ${node.operands.map((operand) => nodes[operand].name).join(", ")}.` : "";
    const tokens = element("div", { class: "tokens", role: "group", "aria-label": "Token" });
    for (let position = node.first; position <= node.rhs; position++) {
      const button = element("button", { "aria-pressed": String(position === this.at) }, this.token(now, position));
      button.title = `position ${position}`;
      button.addEventListener("click", () => this.choose(index, position));
      tokens.append(button);
    }
    const head = element("tr", {}, ...["step", ...factors].map((name) => element("th", { scope: "col" }, name)));
    const rows = [];
    for (let state = 0; state < run.n; state++) {
      const row = element("tr", { tabindex: "0" }, element("td", {}, state === 0 ? "start" : String(state - 1)));
      factors.forEach((factor, place) => {
        const symbol = run.code(state, this.at, place);
        const cell = element("td", {}, symbols[factor][symbol]);
        if (state > 0) {
          cell.append(element("small", {}, run.sure(state - 1, this.at, place).toFixed(3)));
          if (symbol !== run.code(state - 1, this.at, place)) cell.className = "new";
        }
        row.append(cell);
      });
      if (state === now) row.className = "now";
      row.addEventListener("click", () => this.jump(state));
      row.addEventListener("keydown", (event) => event.key === "Enter" && this.jump(state));
      rows.push(row);
    }
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
    const kept = this.inspector.querySelector(".scroll")?.scrollTop ?? 0;
    const focused = this.root.getRootNode().activeElement;
    const held = focused && this.inspector.contains(focused) ? this.paths(focused) : null;
    const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Symbols of every step, with their probabilities" }, table);
    this.inspector.replaceChildren(element("h3", {}, node.equation), element("p", {}, facts + reads), tokens, scroll, ...this.change(now));
    scroll.scrollTop = kept;
    seen(scroll, scroll.querySelector(".now"), table.tHead.offsetHeight);
    if (held) this.find(held)?.focus();
  }

  /** Where a focused control of the inspector is, so that it is found again once the inspector is drawn anew. */
  paths(focused) {
    const path = [];
    for (let one = focused; one !== this.inspector; one = one.parentElement) path.unshift([...one.parentElement.children].indexOf(one));
    return path;
  }

  find(path) {
    return path.reduce((one, place) => one?.children[place], this.inspector);
  }

  token(state, position) {
    const { factors, symbols } = this.scene;
    const [syntax, variable, operation, value] = factors.map((factor, place) => symbols[factor][this.run.code(state, position, place)]);
    const own = [variable, operation, value].filter((symbol) => symbol !== "N/A" && symbol !== "EMPTY");
    return own.length ? own.join(" ") : value === "EMPTY" && syntax !== "=" ? "•" : syntax;
  }

  /** A form that changes a symbol of the chosen position after the step shown, and lets the run go on. */
  change(now) {
    const { factors, symbols } = this.scene;
    if (!this.editable.length) return [];
    const allowed = this.editable.filter((factor) => this.scene.symbols[factor]);
    if (!allowed.includes(this.factor)) this.factor = allowed.includes("value") ? "value" : allowed[0];
    const factor = choice("Factor", allowed, this.factor, (chosen) => {
      this.factor = chosen;
      this.symbol = undefined;
      this.inspect(this.nodeAt(this.at));
    });
    const shown = this.run.code(now, this.at, factors.indexOf(this.factor));
    const offered = symbols[this.factor];
    if (!offered.includes(this.symbol)) this.symbol = offered[(shown + 1) % Math.max(1, this.factor === "value" ? this.scene.n_values : offered.length)];
    const symbol = choice("New symbol", offered, this.symbol, (chosen) => (this.symbol = chosen));
    const when = this.step === 0 ? "Change before step 0" : `Change after step ${this.step - 1}`;
    const apply = element("button", { class: "apply" }, when);
    apply.addEventListener("click", () => {
      this.pause(false);
      clearTimeout(this.telling); // where the reader is goes with the change
      this.trigger("edit", { at: this.at, step: this.step, factor: this.factor, symbol: offered.indexOf(this.symbol) });
    });
    const form = element("div", { class: "change", role: "group", "aria-label": "Change a symbol" }, factor, symbol, apply);
    if (this.runs.length > 1) {
      const undo = element("button", {}, "Undo the change");
      undo.addEventListener("click", () => this.trigger("undo", true));
      form.append(undo);
    }
    return [form];
  }
}

// ---- small things ----

/** A run with its codes and probabilities as functions; a state beyond its last is its last. */
function unpacked(scene) {
  return (run) => {
    const codes = integers(run.codes);
    const shares = integers(run.sure);
    const wide = scene.factors.length;
    const place = (state, position, factor) => (state * scene.n_positions + position) * wide + factor;
    return {
      label: run.label,
      n: run.n_states,
      at: (state) => Math.min(state, run.n_states - 1),
      code: (state, position, factor) => codes[place(state, position, factor)],
      sure: (step, position, factor) => shares[place(step, position, factor)] / 65535,
    };
  };
}

function integers(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Uint16Array.from({ length: bytes.length / 2 }, (_, index) => view.getUint16(2 * index, true));
}

function curve(from, to) {
  const reach = Math.max(18, Math.abs(to.x - from.x) / 2);
  const back = to.x <= from.x ? 1.4 : 1;
  return `M ${from.x + RADIUS} ${from.y} C ${from.x + RADIUS + reach * back} ${from.y} ${to.x - RADIUS - reach * back} ${to.y} ${to.x - RADIUS} ${to.y}`;
}

function short(name) {
  return name.length > 18 ? `${name.slice(0, 17)}…` : name;
}

function make(tag, attributes) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  return one;
}

function element(tag, attributes, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

function choice(label, options, chosen, changed) {
  const select = element("select", { "aria-label": label }, ...options.map((option) => element("option", { value: option }, option)));
  select.value = chosen;
  select.addEventListener("change", () => changed(select.value));
  return element("label", {}, label, select);
}
