// An OpenID Connect provider for tests, by itself: mockoidc with a client, an issuer, and a user that tests choose.
//
// GET /become?email=... says who logs in from now on; POST /sign signs the claims of its body with the provider's key.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oauth2-proxy/mockoidc"
)

func main() {
	address := flag.String("address", "127.0.0.1:0", "where to listen")
	issuer := flag.String("issuer", "", "the address that clients know; its path is always "+mockoidc.IssuerBase)
	client := flag.String("client-id", "", "the only client")
	secret := flag.String("client-secret", "", "its secret")
	email := flag.String("email", "", "who logs in at first")
	flag.Parse()

	outside, err := url.Parse(*issuer)
	if err != nil || outside.Host == "" {
		log.Fatalf("--issuer %q is no address", *issuer)
	}
	provider, err := mockoidc.NewServer(nil)
	if err != nil {
		log.Fatal(err)
	}
	provider.ClientID, provider.ClientSecret = *client, *secret

	var user atomic.Pointer[string]
	user.Store(email)
	err = provider.AddMiddleware(func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(answer http.ResponseWriter, request *http.Request) {
			if request.URL.Path == mockoidc.AuthorizationEndpoint {
				provider.QueueUser(&mockoidc.MockUser{Subject: "1", Email: *user.Load(), EmailVerified: true})
			}
			next.ServeHTTP(answer, request)
		})
	})
	if err != nil {
		log.Fatal(err)
	}
	// mockoidc has its handlers from the moment that it listens: it does so where nobody asks.
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	if err = provider.Start(inner, nil); err != nil {
		log.Fatal(err)
	}
	provider.Server.Addr = outside.Host // of its issuer

	handler := http.NewServeMux()
	handler.Handle("/", provider.Server.Handler)
	handler.HandleFunc("/become", func(answer http.ResponseWriter, request *http.Request) {
		next := request.FormValue("email")
		user.Store(&next)
	})
	handler.HandleFunc("/sign", func(answer http.ResponseWriter, request *http.Request) {
		claims := jwt.MapClaims{}
		if err := json.NewDecoder(request.Body).Decode(&claims); err != nil {
			http.Error(answer, err.Error(), http.StatusBadRequest)
			return
		}
		token, err := provider.Keypair.SignJWT(claims)
		if err != nil {
			http.Error(answer, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = answer.Write([]byte(token))
	})
	log.Fatal(http.ListenAndServe(*address, handler))
}
