// The text of a graph: at which tokens heads look from the one that is pointed at, or which look at it.
//
// `data` (dashboards/looking/component.py): `key` names the scene; `equations`, of each its tokens; `rhs`, of each the
// position of its right-hand side; `names` and `colours` of heads; `looks`, [head, node, position, attention].
// Arrow keys go from token to token.

const MOST = 3; // bars under one token
const states = new WeakMap();

/** Looks by one of their members, in order. */
function grouped(looks, member) {
  const groups = new Map();
  for (const look of looks) groups.set(look[member], [...(groups.get(look[member]) || []), look]);
  return groups;
}

export default function (component) {
  const root = component.parentElement.querySelector(".looking");
  const { data } = component;
  if (states.get(root) === data.key) return;
  states.set(root, data.key);
  const said = root.querySelector(".said");
  const text = root.querySelector(".text");
  const tokens = [];
  const lines = data.equations.map((words) => {
    const line = document.createElement("span");
    line.className = "equation";
    for (const word of words) {
      const token = document.createElement("button");
      token.type = "button";
      token.className = "token";
      token.textContent = word;
      token.tabIndex = -1;
      tokens.push(token);
      line.append(token);
    }
    return line;
  });
  const nodes = new Map(data.rhs.map((position, node) => [position, node]));
  data.rhs.forEach((position) => tokens[position]?.classList.add("result"));

  const mark = (token, looks) => {
    const bars = document.createElement("span");
    bars.className = "bars";
    for (const [head, , , share] of looks.slice(0, MOST)) {
      const bar = document.createElement("i");
      bar.style.setProperty("--head", data.colours[head]);
      bar.style.width = `${Math.round(100 * share)}%`;
      bars.append(bar);
    }
    token.append(bars);
  };

  const tell = (sentence, looks, word) => {
    said.replaceChildren(sentence);
    looks.slice(0, 6).forEach(([head, node, position, share], place) => {
      const key = document.createElement("span");
      key.className = "key";
      key.style.setProperty("--head", data.colours[head]);
      key.textContent = data.names[head];
      said.append(place ? ", " : " ", key, ` ${word(node, position)} ${share.toFixed(2)}`);
    });
    if (looks.length > 6) said.append(` and ${looks.length - 6} more`);
  };

  const show = (position) => {
    for (const bars of text.querySelectorAll(".bars")) bars.remove();
    for (const token of tokens) token.classList.remove("chosen");
    tokens[position].classList.add("chosen");
    const line = tokens[position].parentElement;
    const lowest = line.offsetTop + line.offsetHeight - text.clientHeight;
    text.scrollTop = Math.max(lowest, Math.min(text.scrollTop, line.offsetTop));
    const at = tokens[position].textContent;
    const node = nodes.get(position);
    const own = node === undefined ? [] : data.looks.filter((look) => look[1] === node);
    if (own.length) {
      for (const [place, looks] of grouped(own, 2)) if (tokens[place]) mark(tokens[place], looks);
      tell(`From ${at}:`, own, (_, place) => `at ${data.words[place]}`);
      return;
    }
    const others = data.looks.filter((look) => look[2] === position).sort((one, other) => other[3] - one[3]);
    for (const [from, looks] of grouped(others, 1)) mark(tokens[data.rhs[from]], looks);
    if (others.length) tell(`At ${at} look:`, others, (from) => `from ${data.words[data.rhs[from]]}`);
    else {
      const nothing = node === undefined ? `No head looks at ${at} from a right-hand side` : `From ${at} no head looks anywhere`;
      said.textContent = `${nothing} with ${data.least} or more.`;
    }
  };

  tokens.forEach((token, position) => {
    token.onmouseenter = token.onfocus = token.onclick = () => show(position);
    token.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const next = step && tokens[position + step];
      if (!next) return;
      event.preventDefault();
      token.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    };
  });
  text.replaceChildren(...lines);
  const first = data.rhs[data.node] ?? data.rhs[data.rhs.length - 1];
  tokens[first].tabIndex = 0;
  show(first);
}
