// A member of a group that reads with franz-go: joins, reads and commits until a line comes on standard input.
//
// Usage: member SETUP; SETUP and the reports are told in group_members.py.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sort"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const commitEvery = 150 * time.Millisecond

type setup struct {
	Bootstrap   string  `json:"bootstrap"`
	Topic       string  `json:"topic"`
	Group       string  `json:"group"`
	Instance    *string `json:"instance"`
	Protocol    string  `json:"protocol"`
	Reset       string  `json:"reset"`
	SessionMs   int     `json:"session_ms"`
	HeartbeatMs int     `json:"heartbeat_ms"`
}

// member is what one process knows. Rebalances wait while records are reported (BlockRebalanceOnPoll).
type member struct {
	setup     setup
	positions map[int32]int64 // reported and not committed yet
	lock      sync.Mutex
}

func tell(event string, fields map[string]any) {
	fields["event"] = event
	fields["at"] = time.Now().UnixMicro()
	line, err := json.Marshal(fields)
	if err != nil {
		panic(err)
	}
	// One write for one line: a kill takes nothing back that was said.
	if _, err := os.Stdout.Write(append(line, '\n')); err != nil {
		os.Exit(1)
	}
}

func (m *member) ids(partitions map[string][]int32) []int32 {
	ids := append([]int32{}, partitions[m.setup.Topic]...)
	sort.Slice(ids, func(a, b int) bool { return ids[a] < ids[b] })
	return ids
}

func (m *member) assigned(_ context.Context, client *kgo.Client, partitions map[string][]int32) {
	id, generation := client.GroupMetadata()
	tell("assigned", map[string]any{"partitions": m.ids(partitions), "member": id, "generation": generation})
}

func (m *member) revoked(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
	m.commit(ctx, client)
	m.forget(m.ids(partitions))
	tell("revoked", map[string]any{"partitions": m.ids(partitions)})
}

func (m *member) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	m.forget(m.ids(partitions))
	tell("lost", map[string]any{"partitions": m.ids(partitions)})
}

func (m *member) forget(partitions []int32) {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, partition := range partitions {
		delete(m.positions, partition)
	}
}

// Commits as what the client is at this moment: with its member id and generation.
func (m *member) commit(ctx context.Context, client *kgo.Client) {
	m.lock.Lock()
	defer m.lock.Unlock()
	if len(m.positions) == 0 {
		return
	}
	wanted := make(map[string]map[int32]kgo.EpochOffset)
	wanted[m.setup.Topic] = make(map[int32]kgo.EpochOffset)
	offsets := [][2]int64{}
	for partition, offset := range m.positions {
		wanted[m.setup.Topic][partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
		offsets = append(offsets, [2]int64{int64(partition), offset})
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var failure error
	client.CommitOffsetsSync(ctx, wanted, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		failure = err
		if err != nil {
			return
		}
		for _, topic := range answer.Topics {
			for _, partition := range topic.Partitions {
				if err := kerr.ErrorForCode(partition.ErrorCode); err != nil {
					failure = err
				}
			}
		}
	})
	if failure != nil {
		tell("not_committed", map[string]any{"error": failure.Error()})
		return
	}
	tell("committed", map[string]any{"offsets": offsets})
	m.positions = make(map[int32]int64)
}

func (m *member) options() []kgo.Opt {
	reset := kgo.NewOffset().AtStart()
	if m.setup.Reset == "latest" {
		reset = kgo.NewOffset().AtEnd()
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(m.setup.Bootstrap),
		kgo.ConsumerGroup(m.setup.Group),
		kgo.ConsumeTopics(m.setup.Topic),
		kgo.ConsumeResetOffset(reset),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked),
		kgo.OnPartitionsLost(m.lost),
		kgo.SessionTimeout(time.Duration(m.setup.SessionMs) * time.Millisecond),
		kgo.HeartbeatInterval(time.Duration(m.setup.HeartbeatMs) * time.Millisecond),
	}
	if m.setup.Protocol == "cooperative" {
		options = append(options, kgo.Balancers(kgo.CooperativeStickyBalancer()))
	} else {
		options = append(options, kgo.Balancers(kgo.RangeBalancer()))
	}
	if m.setup.Instance != nil {
		options = append(options, kgo.InstanceID(*m.setup.Instance))
	}
	return options
}

func (m *member) poll(ctx context.Context, client *kgo.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	defer client.AllowRebalance()
	fetches := client.PollRecords(ctx, 500)
	records := [][3]int64{}
	var failure error
	fetches.EachRecord(func(record *kgo.Record) {
		number, err := strconv.ParseInt(string(record.Value), 10, 64)
		if err != nil {
			failure = err
			return
		}
		records = append(records, [3]int64{int64(record.Partition), record.Offset, number})
	})
	if failure != nil {
		return failure
	}
	for _, one := range fetches.Errors() {
		if kerr.IsRetriable(one.Err) || errors.Is(one.Err, context.DeadlineExceeded) {
			continue
		}
		fmt.Fprintf(os.Stderr, "poll of %s %d: %v\n", one.Topic, one.Partition, one.Err)
	}
	if len(records) > 0 {
		tell("seen", map[string]any{"records": records})
		m.lock.Lock()
		for _, record := range records {
			m.positions[int32(record[0])] = record[1] + 1
		}
		m.lock.Unlock()
	}
	return nil
}

func (m *member) run(stop <-chan struct{}) error {
	client, err := kgo.NewClient(m.options()...)
	if err != nil {
		return err
	}
	defer client.CloseAllowingRebalance()
	ctx := context.Background()
	committed := time.Now()
	for {
		select {
		case <-stop:
			m.commit(ctx, client)
			return nil
		default:
		}
		if err := m.poll(ctx, client); err != nil {
			return err
		}
		if time.Since(committed) >= commitEvery {
			m.commit(ctx, client)
			committed = time.Now()
		}
	}
}

func main() {
	m := &member{positions: make(map[int32]int64)}
	if err := json.Unmarshal([]byte(os.Args[1]), &m.setup); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	stop := make(chan struct{})
	go func() {
		os.Stdin.Read(make([]byte, 1)) // a line, or the end of whoever started us
		close(stop)
	}()
	if err := m.run(stop); err != nil {
		tell("failed", map[string]any{"error": err.Error()})
		os.Exit(1)
	}
	tell("left", map[string]any{})
}
