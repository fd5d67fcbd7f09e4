package status

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func scrape(t *testing.T, h http.Handler, header string) {
	r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	if header != "" {
		r.Header.Set(header, "10")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheEndWaitsForPrometheus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(Process)
		h, err := NewHandler(p)
		if err != nil {
			t.Fatal(err)
		}
		waits := 0
		// await is how long the end waits.
		await := func() time.Duration {
			began := time.Now()
			p.AwaitScrape(t.Context(), func() { waits++ })
			return time.Since(began)
		}
		scrape(t, h, scrapeHeader)
		if took := await(); took != 0 {
			t.Errorf("without a source it waits %s", took)
		}
		p.SetPeer(PeerView{Connector: "s", State: peerAbsent, Looked: time.Now()})
		time.Sleep(scrapeGone + time.Second)
		scrape(t, h, "")
		if took := await(); took != 0 || waits != 0 {
			t.Errorf("nobody scrapes, a person has looked, and it waits %s", took)
		}
		scrape(t, h, scrapeHeader)
		time.Sleep(10 * time.Second)
		go func() {
			time.Sleep(4 * time.Second)
			scrape(t, h, "")
			time.Sleep(time.Second)
			scrape(t, h, scrapeHeader)
		}()
		if took := await(); took != 5*time.Second || waits != 1 {
			t.Errorf("the next scrape comes after 5 s, and it waits %s", took)
		}
		if took := await(); took != scrapeWait || waits != 2 {
			t.Errorf("no scrape comes, and it waits %s", took)
		}
		// One that has begun before does not show the end.
		under := make(chan struct{})
		late := p.scrapes.noting(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-under }))
		go scrape(t, late, scrapeHeader)
		synctest.Wait()
		go func() {
			time.Sleep(time.Second)
			close(under)
		}()
		if took := await(); took != scrapeWait {
			t.Errorf("a scrape that had begun before ends the wait after %s", took)
		}
	})
}
