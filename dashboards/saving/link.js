// Copies the address of the page, which says exactly what is shown. Where the browser allows no copying, it is shown.
// Trigger: `theme`, where the page has become dark or light, as figures are drawn for one of them.

const SHOWN_FOR = 2000;

export default function (component) {
  const root = component.parentElement;
  const { setTriggerValue } = component;
  root.querySelector(".link").ontransitionend = (event) => {
    if (event.target === event.currentTarget) setTriggerValue("theme", getComputedStyle(event.target).backgroundColor);
  };
  const button = root.querySelector("button");
  const said = root.querySelector("[role=status]");
  const field = root.querySelector("input");
  button.onclick = async () => {
    const address = window.location.href;
    try {
      await navigator.clipboard.writeText(address);
      button.textContent = "Copied";
      said.textContent = "The link was copied.";
      setTimeout(() => (button.textContent = "Copy link"), SHOWN_FOR);
    } catch {
      field.value = address;
      field.hidden = false;
      field.select();
      said.textContent = "The browser does not allow copying; the link is selected.";
    }
  };
}
