// Keeps the page's files, so that it works without a network, and lets it use threads: browsers allow
// them to pages that are isolated from others, which two headers ask for.

const NAME = "fftdiff-page-BUILD_OF_THE_PAGE";
const SHELL = [
  "./", "index.html", "style.css", "page.js", "worker.js", "tiles.js", "png.js", "icon.svg",
  "manifest.webmanifest", "model.json",
];
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

// The shell at once; the model and the one runtime that is used are kept when they are asked for.
self.addEventListener("install", (event) => {
  const fresh = SHELL.map((path) => new Request(path, { cache: "reload" }));
  event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(fresh)));
});

// A later version takes over when no page of the one before is open, and starts anew.
self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      for (const name of await caches.keys()) {
        if (name.startsWith("fftdiff-page-") && name !== NAME) await caches.delete(name);
      }
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  const scope = new URL(self.registration.scope);
  if (event.request.method !== "GET" || url.origin !== scope.origin) return;
  if (!url.pathname.startsWith(scope.pathname)) return;
  event.respondWith(answer(event.request, url));
});

async function answer(request, url) {
  const cache = await caches.open(NAME);
  const key = url.origin + url.pathname;
  let found = await cache.match(key);
  if (!found) {
    found = await fetch(key, { cache: "no-cache" });
    if (found.status === 200) await cache.put(key, found.clone()).catch(() => null); // a full disk
  }
  if (found.status !== 200) return found;
  const headers = new Headers(found.headers);
  for (const [name, value] of Object.entries(HEADERS)) headers.set(name, value);
  return new Response(found.body, { status: 200, headers });
}
