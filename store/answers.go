package store

import "strings"

// The bounds of an [AnswerBudget].
const (
	defaultAnswers = 16 << 20
	answerShares   = 16 // a follower has a sixteenth
)

// AnswerBudget bounds the bytes of the answers that a store keeps in memory: 16 MiB
// unless Total says otherwise, of which one follower has at most a sixteenth, so that
// nobody can push out everybody else's. The oldest go first. It is not safe for
// concurrent use.
type AnswerBudget struct {
	Total int // bytes; 0 means 16 MiB

	used      int
	all       answerQueue
	followers map[string]*answerShare
}

// ShareOf returns the mark of a follower that callback.NewOwner has put into an owner, ""
// if there is none.
func ShareOf(owner string) string {
	_, share, _ := strings.Cut(owner, ".")
	return share
}

// KeptAnswer is one that an [AnswerBudget] has counted.
type KeptAnswer struct {
	drop  func()
	share *answerShare
	size  int
	gone  bool
}

type answerShare struct {
	follower string
	used     int
	kept     int
	queue    answerQueue
}

// answerQueue is first in, first out; those that are gone are passed over.
type answerQueue struct {
	list []*KeptAnswer
	head int
}

func (q *answerQueue) push(a *KeptAnswer) {
	for q.head < len(q.list) && q.list[q.head].gone {
		q.list[q.head] = nil
		q.head++
	}
	if q.head > len(q.list)/2 {
		q.list = append(q.list[:0], q.list[q.head:]...)
		clear(q.list[len(q.list):cap(q.list)])
		q.head = 0
	}
	q.list = append(q.list, a)
}

// first returns the oldest that is not gone, nil if there is none.
func (q *answerQueue) first() *KeptAnswer {
	for ; q.head < len(q.list); q.head++ {
		if a := q.list[q.head]; !a.gone {
			return a
		}
		q.list[q.head] = nil
	}
	return nil
}

// Add counts an answer and drops older ones that have no room next to it.
func (b *AnswerBudget) Add(follower string, size int, drop func()) *KeptAnswer {
	total := b.Total
	if total == 0 {
		total = defaultAnswers
	}
	if b.followers == nil {
		b.followers = make(map[string]*answerShare)
	}
	share := b.followers[follower]
	if share == nil {
		share = &answerShare{follower: follower}
		b.followers[follower] = share
	}
	a := &KeptAnswer{drop: drop, share: share, size: size}
	share.used += size
	share.kept++
	b.used += size
	share.queue.push(a)
	b.all.push(a)
	for share.used > total/answerShares {
		b.dropOldest(&share.queue)
	}
	for b.used > total {
		b.dropOldest(&b.all)
	}
	return a
}

func (b *AnswerBudget) dropOldest(q *answerQueue) {
	if a := q.first(); a != nil {
		drop := a.drop
		b.Forget(a)
		drop()
	}
}

// Forget takes an answer out of the count; of one that is gone, or nil, it does
// nothing.
func (b *AnswerBudget) Forget(a *KeptAnswer) {
	if a == nil || a.gone {
		return
	}
	a.gone, a.drop = true, nil
	b.used -= a.size
	a.share.used -= a.size
	if a.share.kept--; a.share.kept == 0 {
		delete(b.followers, a.share.follower)
	}
}
