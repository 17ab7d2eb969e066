// Saves what is drawn on the page as PNG or SVG; the server is asked for nothing.
//
// `data` (dashboards/saving/component.py): `place`, the class of the element that holds the drawing, and `name`, of the
// file without its ending. A chart of plotly draws itself; another drawing is the first SVG of a component.

const SCALE = 2;
// What makes a drawing look as it does, and is told by a style sheet that a file does not have.
const STYLES = [
  "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap", "opacity", "paint-order",
  "font-family", "font-size", "font-weight", "text-anchor", "dominant-baseline", "visibility", "display",
];

export default function (component) {
  const { data, parentElement } = component;
  const said = parentElement.querySelector("[role=status]");
  for (const button of parentElement.querySelectorAll("button")) {
    button.onclick = async () => {
      said.textContent = "";
      try {
        const kind = button.dataset.kind;
        hand(await picture(data.place, kind), `${data.name}.${kind}`);
      } catch (error) {
        said.textContent = `This picture could not be made: ${error.message ?? error}`;
      }
    };
  }
}

/** The drawing in an element as the address of a file. */
async function picture(place, kind) {
  const holder = document.querySelector(`.${place}`);
  const plot = holder?.querySelector(".js-plotly-plot");
  if (plot && window.Plotly) {
    const size = { width: plot.clientWidth, height: plot.clientHeight };
    return window.Plotly.toImage(plot, { format: kind, scale: kind === "png" ? SCALE : 1, ...size });
  }
  const drawing = holder && drawingIn(holder);
  if (!drawing) throw new Error("nothing is drawn there yet");
  const { width, height } = drawing.getBoundingClientRect();
  const text = new XMLSerializer().serializeToString(alone(drawing, width, height));
  const address = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  return kind === "svg" ? address : painted(address, width, height);
}

/** The SVG of a component, which has a tree of its own. */
function drawingIn(holder) {
  for (const one of holder.querySelectorAll("*")) {
    const drawing = one.shadowRoot?.querySelector(".stage svg");
    if (drawing) return drawing;
  }
  return holder.querySelector(".stage svg");
}

/** A copy that needs no style sheet. */
function alone(drawing, width, height) {
  const copy = drawing.cloneNode(true);
  const copies = copy.querySelectorAll("*");
  drawing.querySelectorAll("*").forEach((one, index) => dress(copies[index], getComputedStyle(one)));
  copy.removeAttribute("style");
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const paper = document.createElementNS(drawing.namespaceURI, "rect");
  for (const side of ["x", "y", "width", "height"]) paper.setAttribute(side, drawing.viewBox.baseVal[side]);
  paper.setAttribute("fill", rgb(getComputedStyle(drawing).getPropertyValue("--paper").trim() || "#ffffff"));
  copy.prepend(paper);
  return copy;
}

function dress(copy, style) {
  copy.setAttribute("style", STYLES.map((name) => `${name}:${rgb(style.getPropertyValue(name))}`).join(";"));
}

/** A mixed colour as other programs can read it; any other value as it is. */
function rgb(value) {
  return value.replace(/color\(srgb ([\d.e-]+) ([\d.e-]+) ([\d.e-]+)(?: \/ [\d.e-]+)?\)/g, (_, ...parts) => {
    const [red, green, blue] = parts.slice(0, 3).map((part) => Math.round(255 * Number(part)));
    return `rgb(${red}, ${green}, ${blue})`;
  });
}

/** An SVG as the address of a PNG. */
async function painted(address, width, height) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = SCALE * width;
  canvas.height = SCALE * height;
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}

/** Let the browser save a file. The link is not on the page, where a click beside the menu would close it. */
function hand(address, name) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}
