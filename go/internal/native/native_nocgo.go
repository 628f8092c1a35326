// SPDX-License-Identifier: BSL-1.0

//go:build !cgo

package native

import "unsafe"

// absent is what every function answers: Init does so first, hence nothing else is reached in practice.
var absent = &Failure{
	Code: NoCgo,
	Message: "this program was built without cgo, so it has no native library; " +
		"build with CGO_ENABLED=1 and a C++20 compiler (gcc 12, clang 16 or later; CXX names it)",
}

// Init answers NoCgo.
func Init() *Failure { return absent }

// Create answers NoCgo.
func Create(Kind, string, uint32) (Ref, *Failure) { return Ref{}, absent }

// Close answers NoCgo.
func (Ref) Close() *Failure { return absent }

// Destroy answers NoCgo.
func (Ref) Destroy() *Failure { return absent }

// TrySend answers NoCgo.
func (Ref) TrySend(unsafe.Pointer, uintptr) (Status, *Failure) { return NoCgo, absent }

// TryRecv answers NoCgo.
func (Ref) TryRecv(unsafe.Pointer, uintptr) (Status, *Failure) { return NoCgo, absent }

// SendN answers NoCgo.
func (Ref) SendN(unsafe.Pointer, uintptr, uintptr) (int, Status, *Failure) { return 0, NoCgo, absent }

// RecvN answers NoCgo.
func (Ref) RecvN(unsafe.Pointer, uintptr, uintptr) (int, Status, *Failure) { return 0, NoCgo, absent }

// Stats answers NoCgo.
func (Ref) Stats() (Stats, *Failure) { return Stats{}, absent }

// Watch answers NoCgo.
func (Ref) Watch() *Failure { return absent }

// OpenNotifier answers NoCgo.
func OpenNotifier() (int, *Failure) { return -1, absent }

// TakeNotices answers NoCgo.
func TakeNotices([]uint64) (int, bool, *Failure) { return 0, false, absent }

// GetDomainStats answers NoCgo.
func GetDomainStats() (DomainStats, *Failure) { return DomainStats{}, absent }

// DomainBarrier answers NoCgo.
func DomainBarrier() *Failure { return absent }
