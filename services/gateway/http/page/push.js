// Alerts on this device, also while the page is closed: the browser's push service wakes push-worker.js up.

const WORKER = "/push-worker.js";
const KEPT = "push"; // {email, id}: whose channel this browser is

const supported = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;

function kept() {
  return JSON.parse(localStorage.getItem(KEPT) ?? "null") ?? { email: "", id: "" };
}

const isOn = (email) => supported && Notification.permission === "granted" && kept().email === email;

// The channels of a rule that is made here
export const channels = (email) => (isOn(email) ? ["websocket", "push"] : ["websocket"]);

async function subscribe(key) {
  await navigator.serviceWorker.register(WORKER);
  const { pushManager } = await navigator.serviceWorker.ready;
  try {
    return await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  } catch (error) {
    const old = await pushManager.getSubscription(); // with a key that this server had before
    if (!old) throw error;
    await old.unsubscribe();
    return pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  }
}

async function turnOn(ask, email) {
  const { public_key: key } = await ask("GET", "/api/v1/push-key");
  if (!key) throw new Error("this server sends no messages to browsers");
  if (await Notification.requestPermission() !== "granted") throw new Error("your browser does not allow notifications here");
  const subscription = await subscribe(key);
  const { id } = await ask("POST", "/api/v1/channels", { kind: "push", subscription, key });
  localStorage.setItem(KEPT, JSON.stringify({ email, id }));
}

async function turnOff(ask) {
  const { id } = kept();
  localStorage.removeItem(KEPT);
  const registration = await navigator.serviceWorker.getRegistration("/");
  await (await registration?.pushManager.getSubscription())?.unsubscribe();
  await ask("DELETE", `/api/v1/channels/${id}`);
}

// Shows the button that turns it on and off; `work` runs what a click does and shows what went wrong
export function offer(button, account, ask, work) {
  const show = () => {
    button.hidden = !supported;
    button.textContent = isOn(account.email) ? "No alerts on this device" : "Alerts on this device";
  };
  button.addEventListener("click", () => work(async () => {
    await (isOn(account.email) ? turnOff(ask) : turnOn(ask, account.email));
    show();
  }));
  return show;
}
